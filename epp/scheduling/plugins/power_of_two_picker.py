"""Draw two endpoints and pick the better scored one: the power of two choices."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.scheduling.interfaces import Picker


@dataclass(frozen=True, slots=True)
class PowerOfTwoPicker(Picker):
    """With `active-request-scorer` the less loaded of two wins. Of equals the first drawn does."""

    type_name: ClassVar[str] = "power-of-two-picker"

    def pick(
        self,
        endpoints: Sequence[Endpoint],
        scores: Sequence[float],
        count: int,
        rng: random.Random,
    ) -> Sequence[Endpoint]:
        drawn = rng.sample(range(len(endpoints)), min(2, len(endpoints)))
        drawn.sort(key=scores.__getitem__, reverse=True)
        return [endpoints[position] for position in drawn[:count]]
