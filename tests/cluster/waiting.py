"""Waits for what another process will show in a while, and says what was awaited in vain."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable

import aiohttp

POLL_SECONDS = 0.05


async def eventually(what: str, look: Callable[[], object], seconds: float = 15.0) -> None:
    """Until `look`, which may be a coroutine function, finds something true.

    A process that cannot be reached shows nothing yet. Raises AssertionError, with what was seen
    last.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            seen = look()
            if inspect.isawaitable(seen):
                seen = await seen
            if seen:
                return
        except (OSError, aiohttp.ClientError) as error:
            seen = error
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:g} s still not: {what}; seen: {seen!r}")
        await asyncio.sleep(POLL_SECONDS)


async def holds(what: str, check: Callable[[], object], seconds: float) -> None:
    """Raises AssertionError as soon as the check fails within this time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        seen = check()
        if inspect.isawaitable(seen):
            seen = await seen
        assert seen, f"no longer: {what}"
        await asyncio.sleep(POLL_SECONDS)
