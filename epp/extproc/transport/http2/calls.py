"""The calls of one connection: states of their streams (RFC 9113 section 5.1), and sessions."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from epp.extproc.transport.http2 import frames, grpc_messages
from epp.extproc.transport.http2.faults import ConnectionFault, ErrorCode, StreamFault
from epp.extproc.transport.http2.fields import RequestHead
from epp.extproc.transport.http2.frames import MAX_STREAM_ID
from epp.extproc.transport.http2.grpc_messages import CallFault, MessageReader
from epp.extproc.transport.http2.receive_windows import ReceiveWindows
from epp.extproc.transport.http2.sender import Sender
from epp.extproc.transport.http2.settings import Limits
from epp.extproc.transport.http2.stream import CallStream
from epp.extproc.transport.interfaces import Metadata, OpenSession, Services, Status

log = logging.getLogger(__name__)

REMEMBERED_RESETS: Final = 1000  # streams that we reset, whose frames may still be on their way
NOT_GRPC_SECONDS: Final = 10.0  # for the end of a request that is no call; it is answered then


class Calls:
    """What the connection reads is for one of these; what they answer goes to the sender."""

    def __init__(self, services: Services, limits: Limits, wake: Callable[[], None]) -> None:
        """`wake` is called when there is something to write or to tell."""
        self.streams: dict[int, CallStream] = {}
        self.sender = Sender(limits.max_send_bytes, wake, self._finished, self._drained)
        self.windows = ReceiveWindows(limits, self.sender)
        self.last_stream_id = 0
        self.refuse_above = MAX_STREAM_ID  # streams that come after our GOAWAY
        self.answered = 0  # pieces of calls that we have answered
        self._services = services
        self._limits = limits
        self._wake = wake
        self._reset_by_us: OrderedDict[int, None] = OrderedDict()
        self._over: list[CallStream] = []  # finished by us, whose session is yet to be told

    # What the peer does.

    def open(self, stream_id: int, head: RequestHead, *, ends: bool, now: float) -> None:
        """`now` is monotonic seconds. Raises ConnectionFault or StreamFault, as all of these."""
        if stream_id % 2 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client's stream with an even id")
        self.last_stream_id = stream_id
        if len(self.streams) >= self._limits.max_concurrent_streams or (
            stream_id > self.refuse_above
        ):
            raise StreamFault(stream_id, ErrorCode.REFUSED_STREAM, "too many streams, or too late")
        metadata = head.metadata
        try:
            reader = MessageReader(
                metadata.get("grpc-encoding", ""), self._limits.max_receive_bytes
            )
            fault = None
        except CallFault as unsupported:
            reader, fault = MessageReader("", 0), unsupported
        stream = CallStream(
            stream_id,
            self.sender,
            reader,
            receive_window=self._limits.stream_window_bytes,
            send_window=self.sender.peer.initial_window,
        )
        stream.declared_bytes = head.content_length
        self.streams[stream_id] = stream
        if not grpc_messages.is_grpc(head):
            stream.is_call = False
            stream.deadline = now + NOT_GRPC_SECONDS
        elif (open_session := self._services.get(head.path)) is None:
            stream.finish(Status.UNIMPLEMENTED, f"unknown method {head.path}"[:200])
        elif fault is not None:
            stream.finish(fault.status, fault.text)
        else:
            if (timeout := grpc_messages.timeout_of(head)) is not None:
                stream.deadline = now + timeout
            self._begin_call(stream, open_session, metadata)
        if ends:
            self.remote_ended(stream)

    def _begin_call(self, stream: CallStream, open_session: OpenSession, data: Metadata) -> None:
        try:
            stream.session = open_session(stream, data)
        except Exception:
            log.exception("bug: a session could not begin")
            stream.finish(Status.INTERNAL, "internal error")

    def data_begins(self, stream_id: int, length: int) -> CallStream | None:
        """The header of a DATA frame came. None: what follows is for nobody."""
        stream = self.streams.get(stream_id)
        if stream is None or stream.remote_ended:
            self.check_opened(stream_id, "DATA")
            if stream is None and stream_id in self._reset_by_us:
                return None  # it was on its way
            raise StreamFault(stream_id, ErrorCode.STREAM_CLOSED, "DATA on a closed stream")
        stream.receive_window -= length
        if stream.receive_window < 0:
            text = "more than the stream's window"
            raise StreamFault(stream_id, ErrorCode.FLOW_CONTROL_ERROR, text)
        return stream

    def data(self, stream: CallStream, data: bytes | memoryview) -> None:
        """A piece of a payload, which need not be whole messages."""
        stream.uncredited += len(data)
        stream.received_bytes += len(data)
        session = stream.session
        if session is None or stream.status is not None:
            return  # its call is over; the peer does not know yet
        fault: CallFault | None = None
        try:
            messages = stream.reader.feed(data)
        except CallFault as raised:
            fault, messages = raised, raised.complete
        if stream.headers_sent:
            self.answered += 1
        for message in messages:
            self._guarded(stream, session.received, message)
        if fault is not None:
            stream.finish(fault.status, fault.text)
        elif stream.uncredited * 2 > self._limits.stream_window_bytes:
            self.windows.give_back_to(stream)

    def remote_ended(self, stream: CallStream) -> None:
        if stream.declared_bytes not in (None, stream.received_bytes):
            text = "a body that is not as long as content-length says"
            raise StreamFault(stream.id, ErrorCode.PROTOCOL_ERROR, text)
        stream.remote_ended = True
        session = stream.session
        if not stream.is_call:
            stream.finish(Status.UNIMPLEMENTED)
        elif session is None or stream.status is not None:
            self._leave(stream)
        elif stream.reader.inside:
            stream.finish(Status.INTERNAL, "the call ends inside a message")
        else:
            self._guarded(stream, lambda _: session.half_closed(), b"")

    def _guarded(self, stream: CallStream, call: Callable[[bytes], None], message: bytes) -> None:
        """A bug in a session ends its own call, not the connection."""
        if stream.status is not None or stream.reset:
            return
        try:
            call(message)
        except Exception:
            log.exception("bug: a session failed")
            stream.finish(Status.INTERNAL, "internal error")

    def trailers(self, stream_id: int, *, ends: bool) -> CallStream | None:
        """The stream that they end. None: they are for nobody."""
        stream = self.streams.get(stream_id)
        if stream is None:
            if stream_id in self._reset_by_us:
                return None
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, "HEADERS on a closed stream")
        if stream.remote_ended:
            raise StreamFault(stream_id, ErrorCode.STREAM_CLOSED, "HEADERS after the end")
        if not ends:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "trailers that do not end")
        return stream

    def check_opened(self, stream_id: int, name: str) -> None:
        if stream_id == 0 or stream_id > self.last_stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"{name} on an idle stream")

    def shift_send_windows(self, change: int) -> None:
        """A new initial window changes those of open streams, also below zero (section 6.9.2)."""
        for stream in list(self.streams.values()):
            try:
                self.sender.window_opened(change, stream)
            except StreamFault as fault:
                raise ConnectionFault(fault.code, fault.text) from fault

    # What ends them.

    def expire(self, now: float) -> None:
        """End the calls whose deadline has passed."""
        late = [s for s in self.streams.values() if s.deadline is not None and s.deadline <= now]
        for stream in late:
            stream.finish(Status.DEADLINE_EXCEEDED, "the client's deadline has passed")
        self.tell_over()

    def tell_over(self) -> None:
        """Tell the sessions that have ended their calls."""
        while self._over:
            over, self._over = self._over, []
            for stream in over:
                self._tell_closed(stream)
                self._leave(stream)

    def reset(self, stream_id: int, code: ErrorCode) -> None:
        """Frames of the stream that are on their way are ignored from now on."""
        self.sender.control(frames.rst_stream(stream_id, code))
        self._remember_reset(stream_id)
        if (stream := self.streams.get(stream_id)) is not None:
            self.remove(stream)

    def remove_all(self) -> None:
        for stream in list(self.streams.values()):
            self.remove(stream)

    def remove(self, stream: CallStream) -> None:
        self.streams.pop(stream.id, None)
        self.sender.reset(stream)
        self._tell_closed(stream)

    def _finished(self, stream: CallStream) -> None:
        """Our side has ended the call. Its session is told when it has returned."""
        self._over.append(stream)
        self._wake()

    def _drained(self, stream: CallStream) -> None:
        self.windows.give_back_to(stream)
        self.windows.give_back()
        if stream.session is None:
            self._leave(stream)

    def _leave(self, stream: CallStream) -> None:
        """Forget a stream whose call is over, once all is sent."""
        if not stream.trailers_sent or stream.id not in self.streams:
            return
        if not stream.remote_ended:  # it need not send the rest (RFC 9113 section 8.1)
            self.sender.control(frames.rst_stream(stream.id, ErrorCode.NO_ERROR))
            self._remember_reset(stream.id)
        self.remove(stream)

    def _remember_reset(self, stream_id: int) -> None:
        self._reset_by_us[stream_id] = None
        if len(self._reset_by_us) > REMEMBERED_RESETS:
            self._reset_by_us.popitem(last=False)

    def _tell_closed(self, stream: CallStream) -> None:
        """Once. A bug in one session must not keep the others from being told."""
        session, stream.session = stream.session, None
        if session is None:
            return
        try:
            session.closed()
        except Exception:
            log.exception("bug: a session could not be closed")
