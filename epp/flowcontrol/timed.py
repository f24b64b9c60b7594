"""Which attempts are made with the time of every plugin taken: some, and those asked for."""

from __future__ import annotations

from collections.abc import Callable

from epp.core.decision import Placed
from epp.core.request import RequestFacts
from epp.core.stopwatch import Stopwatch

Attempt = Callable[[RequestFacts, float], Placed | None]


class TimedTurns:
    """Counts down to the next attempt that is timed, from 1: the first one is.

    `left` is counted down by the plain attempt, which hands over at 0.
    """

    __slots__ = ("_attempt", "_every", "_stopwatch", "left")

    def __init__(self, attempt: Attempt, stopwatch: Stopwatch, every: int) -> None:
        """`attempt` comes to what the plain one comes to, and tells the stopwatch."""
        self.left = 1
        self._attempt = attempt
        self._stopwatch = stopwatch
        self._every = every

    def __call__(self, facts: RequestFacts, now: float) -> Placed | None:
        """Of a request that keeps laps, those of its last attempt remain."""
        if self.left <= 0:
            self.left = self._every
        if facts.laps is not None:
            facts.laps.clear()
        self._stopwatch.laps = facts.laps
        try:
            return self._attempt(facts, now)
        finally:
            self._stopwatch.laps = None
