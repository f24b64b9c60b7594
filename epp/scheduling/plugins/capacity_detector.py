"""Our own detector, where a document names none: it knows how many requests an engine runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from epp.scheduling.utilization import Utilization


@dataclass(frozen=True, slots=True)
class CapacityDetector(Utilization):
    """An engine is full when all its places are taken.

    Who waits here goes to the first place that becomes free anywhere, the most important first; who
    waits in an engine waits for a place of that one, and delays who is more important. Now and then
    one more tries whether there are more places by now. Where they are not known the queue may be
    longer, so that a burst on an idle pool is not held up. And engines work well until their KV
    cache is full: what is held back at 80 % of it is lost.
    """

    type_name: ClassVar[str] = "capacity-detector"
    only_places: ClassVar[bool] = True

    kv_cache_util_threshold: float = 0.98

    def queue_pressure(self, waiting: int, places: int) -> float:
        return float(waiting) if places else waiting / self.queue_depth_threshold
