"""Pick at random, whatever the scores."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.scheduling.interfaces import Picker


@dataclass(frozen=True, slots=True)
class RandomPicker(Picker):
    type_name: ClassVar[str] = "random-picker"

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
        return rng.sample(endpoints, min(count, len(endpoints)))
