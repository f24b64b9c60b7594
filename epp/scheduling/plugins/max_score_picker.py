"""Pick the best scores; the order of equal ones is drawn, so that equal endpoints share load."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.scheduling.interfaces import Picker
from epp.scheduling.readings import best_scored


@dataclass(frozen=True, slots=True)
class MaxScorePicker(Picker):
    type_name: ClassVar[str] = "max-score-picker"

    max_num_of_endpoints: int = 1  # listed for every gateway; not above zero is 1

    @property
    def count(self) -> int:
        return max(1, self.max_num_of_endpoints)

    def pick(
        self,
        endpoints: Sequence[Endpoint],
        scores: Sequence[float],
        count: int,
        rng: random.Random,
    ) -> Sequence[Endpoint]:
        return best_scored(endpoints, scores, count, rng)
