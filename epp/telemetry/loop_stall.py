"""Measures how late the event loop wakes: what a request that arrives just then would wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PERIOD_SECONDS = 0.1


async def watch_loop(observe: Callable[[float], None]) -> None:
    """Runs until cancelled. Two milliseconds count as none: the loop counts in whole ones."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + PERIOD_SECONDS
        await asyncio.sleep(PERIOD_SECONDS)
        late = loop.time() - due
        if late > 0.002:
            observe(late)
