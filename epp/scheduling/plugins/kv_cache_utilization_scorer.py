"""Prefer endpoints with more free KV cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Scorer
from epp.scheduling.readings import free_kv_cache


@dataclass(frozen=True, slots=True)
class KvCacheUtilizationScorer(Scorer):
    type_name: ClassVar[str] = "kv-cache-utilization-scorer"

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        return free_kv_cache(endpoints)
