"""What a transport offers to a session and tells it. Messages are bytes without gRPC framing.

All calls happen on the event loop's thread. A session never waits: it answers with `send` and
`finish`, during a call or later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Protocol


class Status(IntEnum):
    """The gRPC status codes that we end a stream with."""

    OK = 0
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13


class Stream(Protocol):
    """One gRPC call as seen by the server. After `finish` or `Session.closed` both are no-ops."""

    @property
    def status(self) -> tuple[Status, str] | None:
        """What we ended it with, session or transport; None of one that the client ended."""
        ...

    def send(self, message: bytes) -> None:
        """Messages go out in the order of the calls."""
        ...

    def finish(self, status: Status = Status.OK, text: str = "") -> None:
        """End the call after all that was sent."""
        ...


class Session(Protocol):
    """What serves one call. The transport calls these in order and never two at a time."""

    def received(self, message: bytes) -> None: ...
    def half_closed(self) -> None:
        """The client will send nothing more, but still reads."""
        ...

    def closed(self) -> None:
        """Exactly once, as the last call, however the stream ended."""
        ...


# gRPC metadata of the call, keys in lower case.
Metadata = Mapping[str, str]
OpenSession = Callable[[Stream, Metadata], Session]
# Full method name, such as `/package.Service/Method`, to what serves it.
Services = Mapping[str, OpenSession]


class Server(Protocol):
    """A listening transport."""

    async def start(self) -> int:
        """Listen. Returns the port; raises OSError with the address when it cannot."""
        ...

    async def stop(self, grace_seconds: float) -> None:
        """Take no new stream, let the open ones end, then close what is left."""
        ...
