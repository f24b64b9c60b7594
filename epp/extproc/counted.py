"""Counts the open streams of a service, for those who ask for it: a stream costs a little more."""

from __future__ import annotations

from collections.abc import Callable

from epp.extproc.transport.interfaces import Metadata, OpenSession, Session, Stream


def counted(open_session: OpenSession, count: Callable[[int], None]) -> OpenSession:
    """`count` is told 1 for each stream that opens and -1 for each that has closed."""

    def opened(stream: Stream, metadata: Metadata) -> Session:
        session = open_session(stream, metadata)
        count(1)
        return _Counted(session, count)

    return opened


class _Counted:
    def __init__(self, session: Session, count: Callable[[int], None]) -> None:
        self._session, self._count = session, count

    def received(self, message: bytes) -> None:
        self._session.received(message)

    def half_closed(self) -> None:
        self._session.half_closed()

    def closed(self) -> None:
        self._count(-1)
        self._session.closed()
