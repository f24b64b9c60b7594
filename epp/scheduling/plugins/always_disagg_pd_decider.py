"""Every request is prefilled by an endpoint of its own."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Decider


@dataclass(frozen=True, slots=True)
class AlwaysDisaggPdDecider(Decider):
    type_name: ClassVar[str] = "always-disagg-pd-decider"

    def needed(self, request: RequestFacts, decoder: Endpoint | None) -> bool:
        return True

    def fit_key(self, request: RequestFacts) -> Hashable:
        return None
