"""Means, rates and samples of what came lately, in constant memory."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from epp.core.estimate import NO_PROMPTS, PromptSample

WINDOW: Final = 200  # events
PROMPTS: Final = 64
REDRAWN_EVERY: Final = 8  # prompts: a sample in order is dear, and one prompt changes little


class RecentMean:
    """Of about the last `window` values; the plain mean until there are so many."""

    __slots__ = ("_window", "mean", "samples")

    def __init__(self, window: int = WINDOW) -> None:
        self.mean = 0.0
        self.samples = 0  # at most the window
        self._window = window

    def add(self, value: float) -> None:
        if self.samples < self._window:
            self.samples += 1
        self.mean += (value - self.mean) / self.samples


class RecentMedian:
    """Of the last `window` values: what a few that are off do not move."""

    __slots__ = ("_values", "median")

    def __init__(self, window: int) -> None:
        self.median = math.nan  # while there is none
        self._values: deque[float] = deque(maxlen=window)

    def add(self, value: float) -> None:
        self._values.append(value)
        values = sorted(self._values)
        middle = len(values) // 2
        self.median = (values[middle] + values[-1 - middle]) / 2.0


class EventRate:
    """Events in a second, over the last ones."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=WINDOW)

    def add(self, now: float) -> None:
        self._times.append(now)

    def per_second(self, now: float) -> float:
        """Falls as time passes without an event. 0 before the second one."""
        times = self._times
        if len(times) < 2:
            return 0.0
        elapsed = now - times[0]
        return (len(times) - 1) / elapsed if elapsed > 0.0 else 0.0


class RecentPrompts:
    """Lengths of the last prompts, in tokens."""

    __slots__ = ("_lengths", "_since", "sample")

    def __init__(self) -> None:
        self.sample = NO_PROMPTS
        self._lengths: deque[float] = deque(maxlen=PROMPTS)
        self._since = 0

    def add(self, tokens: int) -> None:
        self._lengths.append(float(tokens))
        self._since += 1
        if self._since >= REDRAWN_EVERY or len(self._lengths) < REDRAWN_EVERY:
            self._since = 0
            self.sample = _sample(sorted(self._lengths))


def _sample(lengths: list[float]) -> PromptSample:
    total = squares = 0.0
    sums, sums_of_squares = [total], [squares]
    for length in lengths:
        total += length
        squares += length * length
        sums.append(total)
        sums_of_squares.append(squares)
    return PromptSample(tuple(lengths), tuple(sums), tuple(sums_of_squares))
