"""How fast those who wait are placed, measured while somebody waits."""

from __future__ import annotations

from collections import deque
from typing import Final

SAMPLES: Final = 64  # placements that it is measured over
OLDEST_SECONDS: Final = 60.0  # an older one says nothing of how fast it goes now


class DrainRate:
    """Time in which nobody waits is no part of it."""

    def __init__(self) -> None:
        # When one was placed, and seconds since the one before.
        self._placed: deque[tuple[float, float]] = deque(maxlen=SAMPLES)
        self._last: float | None = None

    def begin(self) -> None:
        """Somebody waits, after nobody did."""
        self._last = None

    def placed(self, now: float) -> None:
        if self._last is not None:
            self._placed.append((now, now - self._last))
        self._last = now

    def per_second(self, now: float) -> float:
        """0 where too little is known."""
        placed = self._placed
        while placed and placed[0][0] < now - OLDEST_SECONDS:
            placed.popleft()
        seconds = sum([gap for _, gap in placed])
        return len(placed) / seconds if seconds > 0.0 else 0.0
