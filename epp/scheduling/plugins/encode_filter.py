"""Keep the endpoints whose label `llm-d.ai/role` says that they encode."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Filter
from epp.scheduling.roles import encoders


@dataclass(frozen=True, slots=True)
class EncodeFilter(Filter):
    type_name: ClassVar[str] = "encode-filter"

    def keep(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return encoders(endpoints)

    def fit_key(self, request: RequestFacts) -> Hashable:
        return None
