"""Full is an endpoint whose engine queues, or whose KV cache runs out: what two detectors share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.duration import parse_duration
from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Detector
from epp.scheduling.readings import has_no_place, unless_all_are_full

# A reading older than this is evidence of nothing: neither full nor empty.
EVIDENCE_SECONDS = 10.0
# A request that was placed so long ago on an engine that did not queue then is taken to run by
# now. So where scrapes are rare, load still grows by the threshold in every such time.
ADMISSION_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Utilization(Detector):
    """Abstract: it has no `type_name`."""

    only_places: ClassVar[bool] = False  # full is an engine whose places are all taken

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
        pressure = self._pressures_in(endpoints, now)
        return unless_all_are_full(
            endpoints,
            self.kv_cache_util_threshold,
            lambda endpoint: pressure(endpoint) < 1.0,
            only_places=self.only_places,
        )

    def saturation(self, endpoints: Sequence[Endpoint], now: float) -> float:
        """The mean of the endpoints, each at most 1: one that is swamped does not stop the pool."""
        if not endpoints:
            return 1.0
        pressure = self._pressures_in(endpoints, now)
        return sum(min(1.0, pressure(endpoint)) for endpoint in endpoints) / len(endpoints)

    def keep(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        limit, pressure = 1.0 + self.headroom, self._pressures_in(endpoints, request.attempted_at)
        kept = [endpoint for endpoint in endpoints if pressure(endpoint) < limit]
        return kept or endpoints  # all are full: a filter that fails open, as in the Go picker

    def queue_pressure(self, waiting: int, places: int) -> float:
        """A queue in an engine of so many places (0: unknown) over its threshold."""
        return waiting / self.queue_depth_threshold

    def _pressures_in(self, pool: Sequence[Endpoint], now: float) -> Callable[[Endpoint], float]:
        """Of one endpoint of the pool, the larger of both loads over their thresholds."""
        most_places = -1  # of any endpoint of the pool; looked for once, and only if it matters

        def pressure(endpoint: Endpoint) -> float:
            nonlocal most_places
            kv_cache = recent_kv_cache_usage(endpoint, now) / self.kv_cache_util_threshold
            share = share_still_waiting(endpoint, now)
            if share is not None:
                return max(self._pressure_of_queue(endpoint, share), kv_cache)
            if most_places < 0:
                most_places = max([other.load.places for other in pool])
            return max(self._pressure_of_our_own(endpoint, most_places), kv_cache)

        return pressure

    def _pressure_of_queue(self, endpoint: Endpoint, share: float) -> float:
        """As the last reading shows it; `share` of it may wait still."""
        load = endpoint.load
        if self.only_places and share == 1.0 and has_no_place(load):
            return max(1.0, float(load.waiting))
        return share * self.queue_pressure(load.waiting, load.places)

    def _pressure_of_our_own(self, endpoint: Endpoint, most_places: int) -> float:
        """Without evidence, of our own requests beyond its places, or those that others have.

        Of an endpoint that is about to be read for the first time all are taken to wait. Where
        nobody's places are known there is no limit.
        """
        load = endpoint.load
        if load.awaited:
            return self.queue_pressure(load.requests, 0)
        places = load.places or most_places
        return self.queue_pressure(max(0, load.requests - places), places) if places else 0.0


def share_still_waiting(endpoint: Endpoint, now: float) -> float | None:
    """Of those that are counted as waiting, 0 to 1. None without evidence of its queue."""
    metrics = endpoint.metrics
    age = now - metrics.waiting_read_at
    if age > EVIDENCE_SECONDS:
        return None
    return ADMISSION_SECONDS / age if age > ADMISSION_SECONDS and not metrics.waiting else 1.0


def recent_kv_cache_usage(endpoint: Endpoint, now: float) -> float:
    """0 to 1; none without evidence."""
    metrics = endpoint.metrics
    recent = now - metrics.kv_cache_usage_read_at <= EVIDENCE_SECONDS
    return metrics.kv_cache_usage if recent else 0.0
