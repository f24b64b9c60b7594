"""Full is an endpoint whose engine queues, or whose KV cache runs out: what two detectors share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from epp.core.duration import parse_duration
from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Detector
from epp.scheduling.readings import unless_all_are_full

# A reading older than this is evidence of nothing: neither full nor empty.
EVIDENCE_SECONDS = 10.0
# A request that was placed so long ago on an engine that did not queue then is taken to run by
# now. So where scrapes are rare, load still grows by the threshold in every such time.
ADMISSION_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Utilization(Detector):
    """Abstract: it has no `type_name`."""

    queue_depth_threshold: int = 5  # requests that wait in the engine
    kv_cache_util_threshold: float = 0.8  # above 0, to 1
    metrics_staleness_threshold: str = "200ms"  # accepted; see EVIDENCE_SECONDS
    headroom: float = 0.0  # as a filter, thresholds are (1 + headroom) times as high

    def __post_init__(self) -> None:
        if self.queue_depth_threshold <= 0:
            raise ValueError(f"queueDepthThreshold: {self.queue_depth_threshold} is not above zero")
        if not 0.0 < self.kv_cache_util_threshold <= 1.0:
            raise ValueError(
                f"kvCacheUtilThreshold: {self.kv_cache_util_threshold} is not in (0, 1]"
            )
        if not 0.0 <= self.headroom < math.inf:
            raise ValueError(f"headroom: {self.headroom} is not a finite number from zero on")
        try:
            parse_duration(self.metrics_staleness_threshold)
        except ValueError as error:
            raise ValueError(f"metricsStalenessThreshold: {error}") from None

    def with_room(self, endpoints: Sequence[Endpoint], now: float) -> Sequence[Endpoint]:
        # No reading is old enough to make a full one of an endpoint that looks idle.
        return unless_all_are_full(
            endpoints,
            self.kv_cache_util_threshold,
            lambda endpoint: self._pressure(endpoint, endpoints, now) < 1.0,
        )

    def saturation(self, endpoints: Sequence[Endpoint], now: float) -> float:
        """The mean of the endpoints, each at most 1: one that is swamped does not stop the pool."""
        if not endpoints:
            return 1.0
        return sum(min(1.0, self._pressure(e, endpoints, now)) for e in endpoints) / len(endpoints)

    def keep(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        limit, now = 1.0 + self.headroom, request.attempted_at
        kept = [e for e in endpoints if self._pressure(e, endpoints, now) < limit]
        return kept or endpoints  # all are full: a filter that fails open, as in the Go picker

    def queue_pressure(self, waiting: int, places: int) -> float:
        """A queue in an engine of so many places (0: unknown) over its threshold."""
        return waiting / self.queue_depth_threshold

    def _pressure(self, endpoint: Endpoint, pool: Sequence[Endpoint], now: float) -> float:
        """The larger of both loads over their thresholds."""
        metrics = endpoint.metrics
        queue = kv_cache = 0.0
        age = now - metrics.waiting_read_at
        if age <= EVIDENCE_SECONDS:
            queue = self.queue_pressure(endpoint.load.waiting, endpoint.load.places)
            if age > ADMISSION_SECONDS and not metrics.waiting:
                queue *= ADMISSION_SECONDS / age
        else:
            queue = self._pressure_of_our_own(endpoint, pool)
        if now - metrics.kv_cache_usage_read_at <= EVIDENCE_SECONDS:
            kv_cache = metrics.kv_cache_usage / self.kv_cache_util_threshold
        return max(queue, kv_cache)

    def _pressure_of_our_own(self, endpoint: Endpoint, pool: Sequence[Endpoint]) -> float:
        """Without evidence, of our own requests beyond its places, or those that others have.

        Of an endpoint that is about to be read for the first time all are taken to wait. Where
        nobody's places are known there is no limit.
        """
        load = endpoint.load
        if load.awaited:
            return self.queue_pressure(load.requests, 0)
        places = load.places or max([other.load.places for other in pool])
        return self.queue_pressure(max(0, load.requests - places), places) if places else 0.0
