"""Our own detector, where a document names none: it knows how many requests an engine runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from epp.scheduling.utilization import Utilization


@dataclass(frozen=True, slots=True)
class CapacityDetector(Utilization):
    """An engine with all its places taken is full as soon as one request waits in it.

    That one keeps it busy; more would only delay who is more important. Where the places are not
    known the queue may be longer, so that a burst on an idle pool is not held up. And engines work
    well until their KV cache is full: what is held back at 80 % of it is lost.
    """

    type_name: ClassVar[str] = "capacity-detector"

    kv_cache_util_threshold: float = 0.98

    def queue_pressure(self, waiting: int, places: int) -> float:
        return float(waiting) if places else waiting / self.queue_depth_threshold
