"""Those who wait to ask an unreachable API server again are woken when one of them has reached it.

Each kind of object has pauses of its own, up to half a minute: alone, the pods would wait on for a
server that the others are talking to.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Final

SPREAD_SECONDS: Final = 1.0  # they do not come all at once


class Recovery:
    """Shared by all who ask the same server."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._reached = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """So long at the most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._reached.wait()
                await asyncio.sleep(self._rng.uniform(0.0, SPREAD_SECONDS))

    def reached(self) -> None:
        """Wakes those who wait now."""
        self._reached.set()
        self._reached = asyncio.Event()
