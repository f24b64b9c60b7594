"""One HTTP/2 stream that carries one gRPC call: what both sides have done, and what is unsent."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from epp.extproc.transport.http2.grpc_messages import MessageReader
from epp.extproc.transport.interfaces import Session, Status


class Outlet(Protocol):
    """What takes up what a stream has to say."""

    def message(self, stream: CallStream, message: bytes) -> None: ...
    def finish(self, stream: CallStream) -> None: ...


class CallStream:
    """Implements the transport's `Stream`. The connection reads into it, the sender out of it."""

    __slots__ = (
        "deadline",
        "declared_bytes",
        "headers_sent",
        "id",
        "is_call",
        "outlet",
        "reader",
        "receive_window",
        "received_bytes",
        "remote_ended",
        "reset",
        "send_window",
        "session",
        "status",
        "trailers_sent",
        "uncredited",
        "unsent",
        "unsent_bytes",
    )

    def __init__(
        self,
        stream_id: int,
        outlet: Outlet,
        reader: MessageReader,
        *,
        receive_window: int,
        send_window: int,
    ) -> None:
        self.id = stream_id
        self.is_call = True  # False: plain HTTP, which is told so
        self.outlet = outlet
        self.reader = reader
        self.session: Session | None = None  # None once it has been told of the end
        self.deadline: float | None = None  # monotonic seconds
        # What the peer has done.
        self.remote_ended = False
        self.declared_bytes: int | None = None  # content-length
        self.received_bytes = 0
        self.receive_window = receive_window  # that the peer still has
        self.uncredited = 0  # of it used up, and not given back yet
        # What we have done.
        self.send_window = send_window
        self.headers_sent = False
        self.status: tuple[Status, str] | None = None  # from `finish`
        self.trailers_sent = False
        self.reset = False  # by either side: nothing can be sent any more
        self.unsent: deque[bytes | memoryview] = deque()  # framed messages, cut anywhere
        self.unsent_bytes = 0

    def send(self, message: bytes) -> None:
        if self.status is None and not self.reset:
            self.outlet.message(self, message)

    def finish(self, status: Status = Status.OK, text: str = "") -> None:
        if self.status is None and not self.reset:
            self.status = (status, text)
            self.outlet.finish(self)
