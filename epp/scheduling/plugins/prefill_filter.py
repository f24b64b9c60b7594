"""Keep the endpoints whose label `llm-d.ai/role` says that they prefill."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Filter
from epp.scheduling.roles import prefillers


@dataclass(frozen=True, slots=True)
class PrefillFilter(Filter):
    type_name: ClassVar[str] = "prefill-filter"

    def keep(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return prefillers(endpoints)

    def fit_key(self, request: RequestFacts) -> Hashable:
        return None
