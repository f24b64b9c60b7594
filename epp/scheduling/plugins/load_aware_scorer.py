"""Prefer endpoints with fewer requests waiting in the engine, up to a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Scorer
from epp.scheduling.readings import requests_in_line, room_below

DEFAULT_THRESHOLD: Final = 128


@dataclass(frozen=True, slots=True)
class LoadAwareScorer(Scorer):
    """0.5 for an empty queue to 0 for one at the threshold, linear."""

    type_name: ClassVar[str] = "load-aware-scorer"

    threshold: int = DEFAULT_THRESHOLD  # requests waiting; not above zero: the default

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        threshold = self.threshold if self.threshold > 0 else DEFAULT_THRESHOLD
        return [0.5 * room for room in room_below(requests_in_line(endpoints), threshold)]
