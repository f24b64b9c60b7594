"""Chooses which decisions on real requests are recorded so that they can be taken again."""

from __future__ import annotations

import random

from epp.compose import Picker
from epp.core.decision import Replayable
from epp.core.request import RequestFacts
from epp.explain.snapshot import capture


class DecisionSampler:
    """Asked before every attempt to place a request. Costs a draw, and a copy of what it takes."""

    def __init__(self, share: float, rng: random.Random) -> None:
        self.picker: Picker | None = None  # as soon as it is composed
        self._share = share
        self._rng = rng

    def __call__(self, facts: RequestFacts, now: float) -> tuple[random.Random, Replayable] | None:
        """What the attempt draws from, and what it will have read; None if it is not recorded."""
        if self.picker is None or self._rng.random() >= self._share:
            return None
        seed = self._rng.getrandbits(64)
        return random.Random(seed), capture(self.picker, facts, now, seed)
