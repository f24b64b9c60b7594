"""Counts the streams of a service, for those who ask for it: a stream costs a little more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from epp.extproc.transport.interfaces import Metadata, OpenSession, Session, Status, Stream
from epp.telemetry.metrics import Streams

# As Go's gRPC names them.
CODES: Final = {
    Status.OK: "OK",
    Status.INVALID_ARGUMENT: "InvalidArgument",
    Status.DEADLINE_EXCEEDED: "DeadlineExceeded",
    Status.NOT_FOUND: "NotFound",
    Status.RESOURCE_EXHAUSTED: "ResourceExhausted",
    Status.FAILED_PRECONDITION: "FailedPrecondition",
    Status.UNIMPLEMENTED: "Unimplemented",
    Status.INTERNAL: "Internal",
}
BY_CLIENT: Final = "Canceled"  # the code that it sees of a stream which it broke off


def counted(open_session: OpenSession, streams: Streams, now: Callable[[], float]) -> OpenSession:
    def opened(stream: Stream, metadata: Metadata) -> Session:
        session = open_session(stream, metadata)
        streams.open.inc()
        return _Counted(session, stream, streams, now)

    return opened


class _Counted:
    def __init__(
        self, session: Session, stream: Stream, streams: Streams, now: Callable[[], float]
    ) -> None:
        self._session, self._stream = session, stream
        self._streams = streams
        self._now = now
        self._opened_at = now()

    def received(self, message: bytes) -> None:
        self._session.received(message)

    def half_closed(self) -> None:
        self._session.half_closed()

    def closed(self) -> None:
        streams, status = self._streams, self._stream.status
        streams.open.dec()
        streams.duration.observe(self._now() - self._opened_at)
        streams.ended.labels(BY_CLIENT if status is None else CODES[status[0]]).inc()
        self._session.closed()
