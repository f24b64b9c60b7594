"""Least squares with coefficients that are never negative, over rows that are slowly forgotten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Final

FORGETTING: Final = 0.999  # weight of all earlier rows when a new one comes
LARGEST_WEIGHT: Final = 1e6  # of a row, before all sums are scaled down
RIDGE: Final = 1e-6  # of the normalised matrix: features that move together share the effect
SOLVED_EACH_TIME: Final = 64  # rows; later the solution hardly moves
SOLVED_EVERY: Final = 16  # rows
FEATURES: Final = 3
SUBSETS: Final = [
    subset for size in (3, 2, 1) for subset in combinations(range(FEATURES), size)
]  # the largest first


class NonNegativeLeastSquares:
    """y = a · x + b · y + c · z. Keeps sums only, so a row costs the same for ever.

    A feature that is always 0 has a coefficient of 0.
    """

    def __init__(self) -> None:
        self.samples = 0.0  # rows, older ones counting less
        self._gram = [[0.0] * FEATURES for _ in range(FEATURES)]  # lower triangle
        self._moments = [0.0] * FEATURES
        self._weight = 1.0  # of the next row: instead of making all earlier ones lighter
        self._coefficients = [0.0] * FEATURES
        self._unsolved = 0  # rows since the last solution

    def add(self, x: float, y: float, z: float, value: float, scale: float) -> None:
        """`scale` multiplies row and value: the inverse of the error that is expected of it."""
        weight = self._weight * scale * scale
        first, second, third = self._gram
        first[0] += weight * x * x
        weighted = weight * y
        second[0] += weighted * x
        second[1] += weighted * y
        weighted = weight * z
        third[0] += weighted * x
        third[1] += weighted * y
        third[2] += weighted * z
        weighted = weight * value
        moments = self._moments
        moments[0] += weighted * x
        moments[1] += weighted * y
        moments[2] += weighted * z
        self.samples = FORGETTING * self.samples + 1.0
        self._unsolved += 1
        self._weight /= FORGETTING
        if self._weight > LARGEST_WEIGHT:
            self._scale_down()

    def _scale_down(self) -> None:
        for line in (*self._gram, self._moments):
            for i in range(FEATURES):
                line[i] /= self._weight
        self._weight = 1.0

    @property
    def coefficients(self) -> list[float]:
        """Of the rows so far; with many of them the latest few may not be in yet."""
        if self._unsolved >= (1 if self.samples < SOLVED_EACH_TIME else SOLVED_EVERY):
            self._coefficients = self._solve()
            self._unsolved = 0
        return self._coefficients

    def _solve(self) -> list[float]:
        """The best of the subsets of features whose own solution has nothing negative.

        Without a constraint in force that is the first one; else the optimum is one of the others.
        """
        scales = [math.sqrt(self._gram[i][i]) for i in range(FEATURES)]
        seen = sum(scale > 0.0 for scale in scales)
        best, best_gain = [0.0] * FEATURES, 0.0
        for subset in SUBSETS:
            if any(scales[i] <= 0.0 for i in subset):
                continue
            solution = self._solve_for(subset, scales)
            if any(value < 0.0 for value in solution):
                continue
            gain = 0.0
            found = [0.0] * FEATURES
            for i, value in zip(subset, solution):  # noqa: B905 - compiled only in this form
                found[i] = value / scales[i]
                gain += value * self._moments[i] / scales[i]
            if len(subset) == seen:
                return found
            if gain > best_gain:
                best, best_gain = found, gain
        return best

    def _solve_for(self, subset: Sequence[int], scales: Sequence[float]) -> list[float]:
        """By Cholesky, in features scaled to length 1."""
        size = len(subset)
        lower = [[0.0] * size for _ in range(size)]
        found = [0.0] * size
        for a in range(size):
            i = subset[a]
            for b in range(a + 1):
                j = subset[b]
                left = self._gram[i][j] / (scales[i] * scales[j])
                for k in range(b):
                    left -= lower[a][k] * lower[b][k]
                if a == b:
                    lower[a][a] = math.sqrt(max(left, 0.0) + RIDGE)
                else:
                    lower[a][b] = left / lower[b][b]
            value = self._moments[i] / scales[i]
            for k in range(a):
                value -= lower[a][k] * found[k]
            found[a] = value / lower[a][a]
        for a in range(size - 1, -1, -1):
            value = found[a]
            for k in range(a + 1, size):
                value -= lower[k][a] * found[k]
            found[a] = value / lower[a][a]
        return found
