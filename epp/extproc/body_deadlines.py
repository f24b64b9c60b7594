"""When to give up on request bodies that do not come: one timer for all streams.

A timer for each stream costs more than reading its headers does, and nearly none of them fires.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

log = logging.getLogger(__name__)

BODY_TIMEOUT_SECONDS: Final = 600.0  # from the headers to the end of the request body


class BodyReader(Protocol):
    def body_expired(self) -> None:
        """The body did not come in time. It has left already."""
        ...


class BodyDeadlines:
    """All have the same time, so that who came first is due first."""

    def __init__(
        self, now: Callable[[], float], timeout_seconds: float = BODY_TIMEOUT_SECONDS
    ) -> None:
        self._now = now
        self._timeout_seconds = timeout_seconds
        self._due: dict[BodyReader, float] = {}  # by deadline, the earliest first
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Streams whose body has not come so far."""
        return len(self._due)

    def enter(self, reader: BodyReader) -> None:
        """Needs a running loop."""
        self._due[reader] = self._now() + self._timeout_seconds
        self._look_after(self._timeout_seconds)

    def leave(self, reader: BodyReader) -> None:
        """Its body has come, or it has ended; also for one that has left before."""
        self._due.pop(reader, None)

    def _look_after(self, seconds: float) -> None:
        # It stays set when all have left, and then finds nobody: rarer than setting it anew.
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        """A bug in one stream must not keep the others from being told."""
        self._timer = None
        now = self._now()
        while self._due:
            reader = next(iter(self._due))
            left = self._due[reader] - now
            if left > 0.0:
                self._look_after(left)
                return
            del self._due[reader]
            try:
                reader.body_expired()
            except Exception:
                log.exception("bug: a stream could not be told that its body did not come")
