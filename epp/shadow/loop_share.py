"""The share of the event loop's time that a shadow may take, and when it may take some."""

from __future__ import annotations

from typing import Final

SAVED_SECONDS: Final = 1.0  # whose share can be saved up, for a burst; as much can be owed


class LoopShare:
    """Time that passes earns a share of itself, which is spent on decisions.

    Over T seconds at most share * (T + 2) are spent, and what the last decision took beyond.

    Whether a decision is looked at never depends on what it would cost, and little on when it
    comes: as long as half of what can be saved is there, all are; with less, each has the same
    chance as the next one, which falls to where the earnings pay for it.

    Who owes as much as it can pauses until half of what can be saved is there again. Else upkeep
    that costs more than is earned would take all of it, and nothing would ever be compared.
    """

    __slots__ = ("_at", "_left", "_pauses", "share")

    def __init__(self, share: float, now: float) -> None:
        """`now`, here and below, is in seconds of the same monotonic clock."""
        self.share = share
        self._left = share * SAVED_SECONDS
        self._at = now
        self._pauses = False

    @property
    def left(self) -> float:
        """Seconds; below zero if more was spent than earned."""
        return self._left

    def may_compare(self, now: float, drawn: float) -> bool:
        """`drawn` is at least 0 and below 1, evenly."""
        self._earn(now)
        if self._pauses or self._left <= 0.0:
            return False
        return 2.0 * self._left > drawn * self.share * SAVED_SECONDS

    def may_keep_up(self, now: float) -> bool:
        """Whether there is time for what cannot be made up for later, as what is remembered."""
        self._earn(now)
        return not self._pauses

    def spend(self, seconds: float) -> None:
        self._left -= seconds

    def _earn(self, now: float) -> None:
        most = self.share * SAVED_SECONDS
        self._left = min(most, self._left + self.share * (now - self._at))
        self._at = now
        self._pauses = 2.0 * self._left < most if self._pauses else self._left <= -most
