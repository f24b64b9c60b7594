"""Means of a few runs, and how far they can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Final

# Student's t for 95 % between both sides, by degrees of freedom from 1 on.
T_95: Final = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
T_MANY: Final = 1.96


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and half the width of its 95 % interval; NaN for a single run."""

    mean: float
    half_width: float

    @property
    def low(self) -> float:
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        return self.mean + self.half_width


def estimate(values: Sequence[float]) -> Estimate:
    """Of runs with different seeds. Values that are not numbers are left out."""
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        return Estimate(math.nan, math.nan)
    if len(numbers) == 1:
        return Estimate(numbers[0], math.nan)
    t = T_95[len(numbers) - 2] if len(numbers) <= len(T_95) + 1 else T_MANY
    return Estimate(fmean(numbers), t * stdev(numbers) / math.sqrt(len(numbers)))


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """The difference of runs that were asked the same: pairs by seed, in the same order."""
    return estimate([a - b for a, b in zip(ours, theirs, strict=True)])
