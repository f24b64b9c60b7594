"""Turn away requests that may be shed, the more of them the fuller the pool is."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Admitter
from epp.scheduling.utilization import recent_kv_cache_usage, share_still_waiting


@dataclass(frozen=True, slots=True)
class ProbabilisticAdmitter(Admitter):
    """With probability min(1, k * saturation^power), those of negative priority."""

    type_name: ClassVar[str] = "probabilistic-admitter"

    queue_depth_threshold: int = 5  # requests that wait in the engine
    kv_cache_util_threshold: float = 0.8
    power: float = 5.0
    k: float = 300.0

    def __post_init__(self) -> None:
        for name, value in (
            ("queueDepthThreshold", self.queue_depth_threshold),
            ("kvCacheUtilThreshold", self.kv_cache_util_threshold),
            ("power", self.power),
            ("k", self.k),
        ):
            if not 0.0 < value < math.inf:
                raise ValueError(f"{name}: {value} is not a finite number above zero")

    def refusal(
        self, request: RequestFacts, endpoints: Sequence[Endpoint], rng: random.Random
    ) -> str:
        if request.priority >= 0 or not endpoints:
            return ""
        now = request.received_at
        saturation = sum(self._pressure(e, now) for e in endpoints) / len(endpoints)
        if rng.random() >= self._probability(saturation):
            return ""
        return f"sheddable request dropped, saturation {saturation:.3f}"

    def _probability(self, saturation: float) -> float:
        if not saturation:
            return 0.0
        # The power itself may be beyond any number.
        exponent = self.power * math.log(saturation) + math.log(self.k)
        return 1.0 if exponent >= 0.0 else math.exp(exponent)

    def _pressure(self, endpoint: Endpoint, now: float) -> float:
        """The larger of both loads over their thresholds.

        As with the detectors, what was not read lately counts as none, and what was placed on an
        engine without a queue a while ago is taken to run by now.
        """
        waiting = endpoint.load.waiting * (share_still_waiting(endpoint, now) or 0.0)
        usage = recent_kv_cache_usage(endpoint, now)
        return max(waiting / self.queue_depth_threshold, usage / self.kv_cache_util_threshold)
