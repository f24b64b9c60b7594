"""Endpoints that answer nothing but errors: left out for a while, then tried again.

One that fails at once is never busy, so without this it looks like the best of the pool and draws
nearly all requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from epp.core.endpoint import Endpoint
from epp.datalayer.store import EndpointStore

STREAK: Final = 5  # errors in a row, as Envoy's outlier detection
BUSY: Final = 429
ERRORS: Final = frozenset((BUSY, 500, 502, 503, 504))  # others tell of the request
FIRST_PAUSE_SECONDS: Final = 1.0  # each one after it, without an answer between, is twice as long
LONGEST_PAUSE_SECONDS: Final = 30.0


class _Streak:
    """Of errors of one endpoint, since its last answer."""

    __slots__ = ("began_at", "ends_at", "errors", "pause_seconds")

    def __init__(self, now: float) -> None:
        self.began_at = now
        self.errors = 0
        self.pause_seconds = 0.0  # the last one
        self.ends_at = math.inf  # of the pause that goes on


class AnswerHealth:
    """Believes a streak only if another endpoint answered since it began.

    At most half of those that can be reached are left out: where all fail it is the requests, or
    nobody else would do better.
    """

    def __init__(self, store: EndpointStore, on_pause: Callable[[Endpoint, float], None]) -> None:
        """`on_pause` is told for how many seconds, and 0 when an endpoint answers again."""
        self._store = store
        self._on_pause = on_pause
        self._streaks: dict[Endpoint, _Streak] = {}
        self._last: Endpoint | None = None  # that answered
        self._last_at = -math.inf
        self._next_end = math.inf

    def answered(self, endpoint: Endpoint, status: int, now: float) -> None:
        """An endpoint of the pool or one that has left it; a `status` of 0 says nothing."""
        if status not in ERRORS:
            if status:
                self._last, self._last_at = endpoint, now
                if self._streaks and (streak := self._streaks.pop(endpoint, None)) is not None:
                    self._recover(endpoint, streak)
            return
        streak = self._streaks.get(endpoint)
        if streak is None:
            if endpoint not in self._store.endpoints:
                return
            streak = self._streaks[endpoint] = _Streak(now)
        streak.errors += 1
        if (
            streak.errors >= STREAK
            and not endpoint.paused
            and self._is_the_odd_one(endpoint, streak)
        ):
            self._pause(endpoint, streak, status, now)

    def end_pauses(self, now: float) -> None:
        """Let those back whose pause is over. Cheap while none is."""
        if now < self._next_end:
            return
        for endpoint, streak in self._streaks.items():
            if streak.ends_at <= now:
                streak.ends_at = math.inf
                streak.errors = STREAK - 1  # one more, and it is left out again
                self._store.set_paused(endpoint, False)
        self._find_next_end()

    def forget(self, endpoint: Endpoint) -> None:
        """It left the pool."""
        if self._last is endpoint:
            self._last = None
        if self._streaks.pop(endpoint, None) is not None:
            self._find_next_end()

    def _is_the_odd_one(self, endpoint: Endpoint, streak: _Streak) -> bool:
        if self._last is None or self._last is endpoint or self._last_at <= streak.began_at:
            return False
        reachable = [e for e in self._store.endpoints if e.reachable]
        paused = sum(1 for e in reachable if e.paused)
        return 2 * (paused + 1) <= len(reachable)

    def _pause(self, endpoint: Endpoint, streak: _Streak, status: int, now: float) -> None:
        seconds = min(LONGEST_PAUSE_SECONDS, 2 * streak.pause_seconds or FIRST_PAUSE_SECONDS)
        if status == BUSY:
            seconds = FIRST_PAUSE_SECONDS  # it works, and has room again before long
        streak.pause_seconds = seconds
        streak.ends_at = now + seconds
        self._next_end = min(self._next_end, streak.ends_at)
        self._store.set_paused(endpoint, True)
        self._on_pause(endpoint, seconds)

    def _recover(self, endpoint: Endpoint, streak: _Streak) -> None:
        if endpoint.paused:
            self._store.set_paused(endpoint, False)
            self._find_next_end()
        if streak.pause_seconds:
            self._on_pause(endpoint, 0.0)

    def _find_next_end(self) -> None:
        self._next_end = min([s.ends_at for s in self._streaks.values()], default=math.inf)
