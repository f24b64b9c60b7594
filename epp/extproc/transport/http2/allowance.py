"""How many frames that carry no request a peer may send: a burst, and then a rate."""

from __future__ import annotations


class Allowance:
    """A token bucket. Every message that we send earns one, and every read of an answered call.

    So a busy peer never runs dry. Bounds pings, settings, priorities, window updates, empty and
    unknown frames, and resets of streams that we had not answered, all together.
    """

    __slots__ = ("_burst", "_filled_at", "_per_second", "left")

    def __init__(self, burst: int, per_second: int, now: float) -> None:
        self.left = float(burst)
        self._burst = burst
        self._per_second = per_second
        self._filled_at = now

    def spend(self, now: float, earned: int, cost: float = 1.0) -> bool:
        """False once the peer has overdrawn. `earned` since the last call."""
        since = now - self._filled_at
        self._filled_at = now
        self.left = min(self.left + since * self._per_second + earned, self._burst) - cost
        return self.left >= 0.0
