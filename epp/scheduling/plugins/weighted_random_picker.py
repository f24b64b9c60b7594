"""Pick at random, in proportion to the scores."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.scheduling.interfaces import Picker


@dataclass(frozen=True, slots=True)
class WeightedRandomPicker(Picker):
    """Weighted sampling without replacement by the keys u^(1/score) (Efraimidis and Spirakis)."""

    type_name: ClassVar[str] = "weighted-random-picker"

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
        if all(score <= 0.0 for score in scores):
            return rng.sample(endpoints, min(count, len(endpoints)))
        keys = [rng.random() ** (1.0 / score) if score > 0.0 else -1.0 for score in scores]
        order = sorted(range(len(endpoints)), key=keys.__getitem__, reverse=True)
        return [endpoints[i] for i in order[:count]]
