"""Random numbers of workloads, by the mean and spread that publications give."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate
from random import Random


def lognormal(rng: Random, mean: float, spread: float, low: float, high: float) -> float:
    """`spread` is the standard deviation before clamping to low..high."""
    variance = math.log(1.0 + (spread / mean) ** 2)
    return clamped(
        rng.lognormvariate(math.log(mean) - variance / 2, math.sqrt(variance)), low, high
    )


def normal(rng: Random, mean: float, spread: float, low: float, high: float) -> float:
    """Drawn again until it is within low..high, so that nothing piles up at the ends."""
    for _ in range(100):
        drawn = rng.gauss(mean, spread)
        if low <= drawn <= high:
            return drawn
    return clamped(mean, low, high)


def clamped(value: float, low: float, high: float) -> float:
    return min(high, max(low, value))


class Zipf:
    """Ranks 0 to n-1, rank r with weight 1/(r+1)^exponent."""

    def __init__(self, count: int, exponent: float) -> None:
        self._sums = list(accumulate((rank + 1) ** -exponent for rank in range(count)))

    def draw(self, rng: Random) -> int:
        return bisect_left(self._sums, rng.random() * self._sums[-1])
