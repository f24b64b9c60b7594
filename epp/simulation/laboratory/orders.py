"""Orders of arms by one figure, with what is noise in them, and how far two orders agree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from epp.simulation.laboratory.statistics import T_95, T_MANY


@dataclass(frozen=True, slots=True)
class Order:
    """Arms by the mean of one figure."""

    means: Mapping[str, float]
    noise: float  # a difference of two means up to this is none

    def compare(self, arm: str, other: str) -> int:
        """1 if `arm` has more, -1 if it has less, 0 if the difference is within noise."""
        difference = self.means[arm] - self.means[other]
        if abs(difference) <= self.noise:
            return 0
        return 1 if difference > 0 else -1

    def places(self, *, higher_is_better: bool) -> dict[str, int]:
        """1 for the best, and one more for every arm that is better beyond noise."""
        sign = 1 if higher_is_better else -1
        return {
            arm: 1 + sum(sign * self.compare(other, arm) > 0 for other in self.means)
            for arm in self.means
        }


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of two orders of the same arms, by pairs."""

    same: int  # beyond noise in both, and the same way round
    equal: int  # within noise in either
    opposed: tuple[tuple[str, str], ...]  # beyond noise in both, the other way round
    tau: float  # Kendall's, of the means whatever their noise: 1 same order, -1 reversed


def order_of(values: Mapping[str, Sequence[float]], least: float) -> Order:
    """`values` of each arm by repeat; in one repeat all arms were asked the same.

    Noise is the least significant difference of two means at 95 %, from what is left of the
    values without the means of arms and repeats, pooled over all arms; and never below `least`.
    Raises ValueError for fewer than two arms or repeats, which tell no noise.
    """
    arms, repeats = len(values), {len(of_arm) for of_arm in values.values()}
    if arms < 2 or len(repeats) != 1 or min(repeats) < 2:
        raise ValueError(f"{arms} arms with {sorted(repeats)} repeats: noise takes two of each")
    (many,) = repeats
    means = {arm: fmean(of_arm) for arm, of_arm in values.items()}
    whole = fmean(means.values())
    by_repeat = [fmean(of_arm[n] for of_arm in values.values()) - whole for n in range(many)]
    squares = sum(
        (value - means[arm] - shift) ** 2
        for arm, of_arm in values.items()
        for value, shift in zip(of_arm, by_repeat, strict=True)
    )
    freedom = (arms - 1) * (many - 1)
    t = T_95[freedom - 1] if freedom <= len(T_95) else T_MANY
    return Order(means, max(least, t * math.sqrt(2.0 * squares / freedom / many)))


def agreement(one: Order, other: Order) -> Agreement:
    """Both of the same arms; at least two."""
    same = equal = balance = 0
    opposed: list[tuple[str, str]] = []
    pairs = list(combinations(one.means, 2))
    for first, second in pairs:
        here, there = one.compare(first, second), other.compare(first, second)
        if not here or not there:
            equal += 1
        elif here == there:
            same += 1
        else:
            opposed.append((first, second))
        product = (one.means[first] - one.means[second]) * (
            other.means[first] - other.means[second]
        )
        balance += (product > 0) - (product < 0)
    return Agreement(same, equal, tuple(opposed), balance / len(pairs))
