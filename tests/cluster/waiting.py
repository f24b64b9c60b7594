"""Waits for what another process will show in a while, and says what was awaited in vain."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp

Found = TypeVar("Found")

POLL_SECONDS = 0.05


async def eventually(
    what: str, look: Callable[[], Found | Awaitable[Found]], seconds: float = 15.0
) -> Found:
    """What `look` finds once it is true. Raises AssertionError, with what was seen last.

    A process that cannot be reached shows nothing yet.
    """
    deadline = time.monotonic() + seconds
    while True:
        seen: object
        try:
            looked = look()
            found: Found = await looked if inspect.isawaitable(looked) else looked
            if found:
                return found
            seen = found
        except (OSError, aiohttp.ClientError) as error:
            seen = error
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:g} s still not: {what}; seen: {seen!r}")
        await asyncio.sleep(POLL_SECONDS)


async def holds(what: str, check: Callable[[], bool | Awaitable[bool]], seconds: float) -> None:
    """Raises AssertionError as soon as the check fails within this time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        looked = check()
        assert await looked if inspect.isawaitable(looked) else looked, f"no longer: {what}"
        await asyncio.sleep(POLL_SECONDS)
