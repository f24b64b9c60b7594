"""Keep the endpoints that decode, by the label `llm-d.ai/role`; those without the label do."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Filter
from epp.scheduling.roles import decoders


@dataclass(frozen=True, slots=True)
class DecodeFilter(Filter):
    type_name: ClassVar[str] = "decode-filter"

    def keep(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return decoders(endpoints)

    def fit_key(self, request: RequestFacts) -> Hashable:
        return None
