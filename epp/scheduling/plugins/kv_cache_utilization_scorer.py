"""Prefer endpoints with more free KV cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Scorer


@dataclass(frozen=True, slots=True)
class KvCacheUtilizationScorer(Scorer):
    type_name: ClassVar[str] = "kv-cache-utilization-scorer"

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        return [1.0 - endpoint.metrics.kv_cache_usage for endpoint in endpoints]
