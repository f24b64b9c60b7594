"""Keep endpoints that are under every one of some limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.core.spelling import to_camel
from epp.scheduling.interfaces import Filter


class Metric(StrEnum):
    ACTIVE_REQUESTS = "active-requests"  # ours, in flight
    RUNNING_REQUESTS = "running-requests"
    WAITING_QUEUE = "waiting-queue"
    KV_CACHE_UTILIZATION = "kv-cache-utilization"  # 0 to 1


# Load between two scrapes is the ledger's, as everywhere; what was never read counts as none.
VALUE_OF: Final[Mapping[Metric, Callable[[Endpoint], float]]] = {
    Metric.ACTIVE_REQUESTS: lambda e: e.load.requests,
    Metric.RUNNING_REQUESTS: lambda e: e.load.requests + e.load.foreign - e.load.waiting,
    Metric.WAITING_QUEUE: lambda e: e.load.waiting,
    Metric.KV_CACHE_UTILIZATION: lambda e: e.metrics.kv_cache_usage,
}


@dataclass(frozen=True, slots=True)
class Condition:
    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",
        "alias_generator": to_camel,
    }

    metric: Metric
    max_value: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.max_value < math.inf:
            raise ValueError(f"maxValue: {self.max_value} is not a finite number from zero on")
        if self.metric is Metric.KV_CACHE_UTILIZATION and self.max_value > 1.0:
            raise ValueError(f"maxValue: {self.max_value} of {self.metric} is above 1")


@dataclass(frozen=True, slots=True)
class UtilizationFilter(Filter):
    type_name: ClassVar[str] = "utilization-filter"

    conditions: tuple[Condition, ...]
    fallback_on_empty: bool = False  # keep all where none is under the limits
    in_flight_load_producer_name: str = ""  # accepted: there is one ledger

    def __post_init__(self) -> None:
        if not self.conditions:
            raise ValueError("conditions: at least one is needed")

    def keep(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        limits = [(VALUE_OF[c.metric], c.max_value) for c in self.conditions]
        kept = [e for e in endpoints if all(value(e) <= most for value, most in limits)]
        return endpoints if not kept and self.fallback_on_empty else kept

    def fit_key(self, request: RequestFacts) -> Hashable:
        return None
