"""Pick at random, in proportion to the scores."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.scheduling.interfaces import Picker


@dataclass(frozen=True, slots=True)
class WeightedRandomPicker(Picker):
    """Weighted sampling without replacement by the keys u^(1/score) (Efraimidis and Spirakis).

    Their order is that of -log(u)/score, the least first: the power is 0 for every small score.
    """

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
        top = max(scores)
        if top <= 0.0:
            return rng.sample(endpoints, min(count, len(endpoints)))
        shares = [score / top for score in scores]  # else a quotient could be infinite for all
        keys = [rng.expovariate(1.0) / s if s > 0.0 else math.inf for s in shares]
        order = sorted(range(len(endpoints)), key=keys.__getitem__)
        return [endpoints[i] for i in order[:count]]
