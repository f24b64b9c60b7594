"""One connection, without a socket: bytes in, calls to sessions, pieces of bytes out.

Follows RFC 9113; the section is named where a rule is applied. Never waits and reads no clock.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from epp.extproc.transport.http2 import frames, grpc_messages
from epp.extproc.transport.http2.allowance import Allowance
from epp.extproc.transport.http2.faults import ConnectionFault, ErrorCode, StreamFault
from epp.extproc.transport.http2.field_decoder import FieldDecoder
from epp.extproc.transport.http2.fields import (
    MalformedFields,
    RequestHead,
    check_trailers,
    request_head,
)
from epp.extproc.transport.http2.frames import (
    ACK,
    DEFAULT_FRAME_BYTES,
    END_HEADERS,
    END_STREAM,
    HEADER,
    HEADER_BYTES,
    MAX_STREAM_ID,
    PADDED,
    PREFACE,
    Kind,
)
from epp.extproc.transport.http2.grpc_messages import VIEWED_BYTES, CallFault, MessageReader
from epp.extproc.transport.http2.sender import Piece, Sender
from epp.extproc.transport.http2.settings import DEFAULT_WINDOW_BYTES, Limits
from epp.extproc.transport.http2.stream import CallStream
from epp.extproc.transport.interfaces import Metadata, OpenSession, Services, Status

log = logging.getLogger(__name__)

REMEMBERED_RESETS: Final = 1000  # streams that we reset, whose frames may still be on their way
STREAMS_PER_FRAME: Final = 50  # that can be looked at for the price of a frame
NOT_GRPC_SECONDS: Final = 10.0  # for the end of a request that is no call; it is answered then


class Connection:
    """Call `receive` for what was read and write what `take` returns, after every call."""

    def __init__(
        self, services: Services, limits: Limits, wake: Callable[[], None], now: float
    ) -> None:
        """`wake` is called when `take` has something outside of `receive`. `now` is monotonic."""
        self.streams: dict[int, CallStream] = {}
        self.sender = Sender(limits.max_send_bytes, self._output, self._finished, self._drained)
        self.closing = False  # nothing more is read; close the socket after writing
        self.ready = False  # preface and first SETTINGS have come
        self._services = services
        self._limits = limits
        self._wake = wake
        self._receiving = False
        self._rest = b""  # of a frame that has not come whole
        self._fields = FieldDecoder(limits.max_header_bytes)
        self._block: list[bytes] | None = None  # of a field section that is not complete
        self._block_stream, self._block_ends_stream = 0, False
        self._block_loops = False  # its priority names its own stream
        self._data_left = 0  # of a DATA frame whose payload has not come whole
        self._data_stream: CallStream | None = None
        self._data_ends_stream = False
        self._last_stream_id = 0
        self._refuse_above = MAX_STREAM_ID  # streams that come after our GOAWAY
        self._receive_window = DEFAULT_WINDOW_BYTES
        self._uncredited = 0
        self._reset_by_us: OrderedDict[int, None] = OrderedDict()
        self._over: list[CallStream] = []  # finished by us, whose session is yet to be told
        self._allowance = Allowance(limits.control_burst, limits.control_per_second, now)
        self._answered = self._earned = 0  # pieces of calls that we have answered; of it, booked
        self._now = now
        self._handlers: dict[int, Callable[[int, int, bytes], None]] = {
            Kind.DATA: self._padded_data,
            Kind.HEADERS: self._headers,
            Kind.PRIORITY: self._priority,
            Kind.RST_STREAM: self._rst_stream,
            Kind.SETTINGS: self._settings,
            Kind.PUSH_PROMISE: self._push_promise,
            Kind.PING: self._ping,
            Kind.GOAWAY: self._goaway,
            Kind.WINDOW_UPDATE: self._window_update,
            Kind.CONTINUATION: self._continuation,
        }
        self.sender.control(frames.settings(limits.announced()))
        self._credit_connection(limits.connection_window_bytes - DEFAULT_WINDOW_BYTES)

    # What the shell calls.

    def take(self) -> list[Piece]:
        """The pieces to write now, in order."""
        return self.sender.take()

    def receive(self, data: bytes, now: float) -> None:
        if self.closing:
            return
        self._now = now
        self._receiving = True
        try:
            if self._rest:
                data = self._rest + data
                self._rest = b""
            if not self.ready:
                data = self._begin(data)
            self._rest = self._frames(data)
            self._tell_over()
            if self.sender.paused_bytes > self._limits.max_paused_bytes:
                text = "answers that the peer does not take"
                raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, text)
        except ConnectionFault as fault:
            self.fail(fault)
        finally:
            self._receiving = False

    def fail(self, fault: ConnectionFault) -> None:
        log.info("an HTTP/2 connection is closed: %s: %s", fault.code.name, fault.text)
        self.sender.control(frames.goaway(self._last_stream_id, fault.code, fault.text))
        self.lost()

    def lost(self) -> None:
        """The socket is closed, or is going to be: every session learns of it."""
        self.closing = True
        for stream in list(self.streams.values()):
            self._remove(stream)

    def settle(self) -> None:
        """Tell the sessions that ended their calls outside of `receive`."""
        self._tell_over()

    def announce_end(self) -> None:
        """Streams that are already on their way are still served (section 6.8)."""
        self.sender.control(frames.goaway(MAX_STREAM_ID, ErrorCode.NO_ERROR, "shutting down"))

    def refuse_new(self) -> None:
        self._refuse_above = self._last_stream_id
        self.sender.control(frames.goaway(self._last_stream_id, ErrorCode.NO_ERROR))

    def ping(self) -> None:
        self.sender.control(frames.ping(b"epp-ping"))

    def expire(self, now: float) -> None:
        """End the calls whose deadline has passed."""
        late = [s for s in self.streams.values() if s.deadline is not None and s.deadline <= now]
        for stream in late:
            stream.finish(Status.DEADLINE_EXCEEDED, "the client's deadline has passed")
        self._tell_over()

    def abandon(self, stream: CallStream, code: ErrorCode) -> None:
        """Reset a stream; frames of it that are on their way are ignored."""
        self.sender.control(frames.rst_stream(stream.id, code))
        self._remember_reset(stream.id)
        self._remove(stream)

    # Frames.

    def _begin(self, data: bytes) -> bytes:
        """The preface and the kind of the first frame (section 3.4)."""
        head = data[: len(PREFACE)]
        if head != PREFACE[: len(head)]:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "not an HTTP/2 preface")
        if len(data) < len(PREFACE) + HEADER_BYTES:
            self._rest = data
            return b""
        word, flags, _ = HEADER.unpack_from(data, len(PREFACE))
        if word & 0xFF != Kind.SETTINGS or flags & ACK:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        self.ready = True
        return data[len(PREFACE) :]

    def _frames(self, data: bytes) -> bytes:
        """Deal with every frame that is there. Returns what is left of an incomplete one."""
        position, size = 0, len(data)
        if not size:
            return self._rest
        while True:
            if self._data_left:
                position = self._more_data(data, position)
            if size - position < HEADER_BYTES:
                break
            word, flags, stream_id = HEADER.unpack_from(data, position)
            length = word >> 8
            if length > DEFAULT_FRAME_BYTES:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            kind, stream_id = word & 0xFF, stream_id & MAX_STREAM_ID
            if self._block is not None:
                self._expect_continuation(kind, stream_id)
            try:
                if kind == Kind.DATA and not flags & PADDED:
                    position += HEADER_BYTES
                    self._data(flags, stream_id, length)
                    continue
                end = position + HEADER_BYTES + length
                if end > size:
                    break
                payload = data[position + HEADER_BYTES : end]
                position = end
                if (handler := self._handlers.get(kind)) is not None:
                    handler(flags, stream_id, payload)
                else:
                    self._spend()  # an unknown kind is ignored (section 5.5)
            except StreamFault as fault:
                self._reset(fault)
            if self._over:
                self._tell_over()
        return data[position:]

    # DATA (section 6.1). Payloads are handed on as they come, also pieces of a frame.

    def _data(self, flags: int, stream_id: int, length: int) -> None:
        """The header of a frame: windows and states. Its payload follows."""
        self._charge_connection(length)
        stream = self.streams.get(stream_id)
        self._data_left, self._data_ends_stream = length, bool(flags & END_STREAM)
        if stream is None or stream.remote_ended:
            self._data_stream = None
            self._check_closed(stream, stream_id)
            return
        self._data_stream = stream
        if length == 0:
            if not self._data_ends_stream:
                self._spend()
            self._data_complete(stream)
            return
        stream.receive_window -= length
        if stream.receive_window < 0:
            self._data_stream = None
            text = "more than the stream's window"
            raise StreamFault(stream_id, ErrorCode.FLOW_CONTROL_ERROR, text)

    def _more_data(self, data: bytes, position: int) -> int:
        end = min(position + self._data_left, len(data))
        self._data_left -= end - position
        stream = self._data_stream
        if stream is None:
            return end
        try:
            if end - position >= VIEWED_BYTES:
                self._payload(stream, memoryview(data)[position:end])
            else:
                self._payload(stream, data[position:end])
            if not self._data_left:
                self._data_complete(stream)
        except StreamFault as fault:
            self._data_stream = None
            self._reset(fault)
        if self._over:
            self._tell_over()
        return end

    def _padded_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Padding counts in the windows."""
        try:
            self._data(flags & ~END_STREAM, stream_id, len(payload))
        finally:  # the payload is here already
            stream, self._data_stream, self._data_left = self._data_stream, None, 0
        if stream is None:
            return
        data = frames.unpadded(payload, flags)
        if not data and not flags & END_STREAM:
            self._spend()
        stream.uncredited += len(payload) - len(data)
        self._payload(stream, data)
        if flags & END_STREAM:
            self._data_ends_stream = True
            self._data_complete(stream)

    def _payload(self, stream: CallStream, data: bytes | memoryview) -> None:
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
            self._answered += 1
        for message in messages:
            self._guarded(stream, session.received, message)
        if fault is not None:
            stream.finish(fault.status, fault.text)
        elif stream.uncredited * 2 > self._limits.stream_window_bytes:
            self._credit(stream)

    def _data_complete(self, stream: CallStream) -> None:
        if self._data_ends_stream:
            self._remote_ended(stream)

    def _remote_ended(self, stream: CallStream) -> None:
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

    # HEADERS and CONTINUATION (sections 6.2 and 6.10).

    def _headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0")
        fragment, self._block_loops = frames.header_fragment(payload, flags, stream_id)
        self._block_stream = stream_id
        self._block_ends_stream = bool(flags & END_STREAM)
        if flags & END_HEADERS:
            self._section(fragment)
        else:
            self._block = [fragment]

    def _continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION of nothing")
        self._block.append(payload)
        size = sum(map(len, self._block))
        if (
            len(self._block) > self._limits.max_header_frames
            or size > self._limits.max_header_bytes
        ):
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM, "too many or too large header frames"
            )
        if flags & END_HEADERS:
            block, self._block = b"".join(self._block), None
            self._section(block)

    def _expect_continuation(self, kind: int, stream_id: int) -> None:
        if kind != Kind.CONTINUATION or stream_id != self._block_stream:
            text = "a field section is interrupted"
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, text)

    def _section(self, block: bytes) -> None:
        """A complete field section. It is decoded in any case, to keep the table in step."""
        stream_id = self._block_stream
        stream = self.streams.get(stream_id)
        try:
            if stream_id > self._last_stream_id:
                self._open(stream_id, self._request(block))
            else:
                fields = self._fields.fields(block)
                if self._takes_trailers(stream, stream_id):
                    check_trailers(fields)
                    self._remote_ended(self.streams[stream_id])
        except MalformedFields as fault:
            self._last_stream_id = max(stream_id, self._last_stream_id)
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, str(fault)) from fault

    def _request(self, block: bytes) -> RequestHead:
        head = request_head(self._fields.fields(block))
        if self._block_loops:
            raise MalformedFields("a stream that depends on itself")
        return head

    def _takes_trailers(self, stream: CallStream | None, stream_id: int) -> bool:
        if stream is None:
            if stream_id in self._reset_by_us:
                return False
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, "HEADERS on a closed stream")
        if stream.remote_ended:
            raise StreamFault(stream_id, ErrorCode.STREAM_CLOSED, "HEADERS after the end")
        if not self._block_ends_stream:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "trailers that do not end")
        return True

    def _open(self, stream_id: int, head: RequestHead) -> None:
        if stream_id % 2 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client's stream with an even id")
        self._last_stream_id = stream_id
        if len(self.streams) >= self._limits.max_concurrent_streams or (
            stream_id > self._refuse_above
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
        stream = CallStream(stream_id, self.sender, self._limits.stream_window_bytes, reader)
        stream.declared_bytes = head.content_length
        self.streams[stream_id] = stream
        if not grpc_messages.is_grpc(head):
            stream.is_call = False
            stream.deadline = self._now + NOT_GRPC_SECONDS
        elif (open_session := self._services.get(head.path)) is None:
            stream.finish(Status.UNIMPLEMENTED, f"unknown method {head.path}"[:200])
        elif fault is not None:
            stream.finish(fault.status, fault.text)
        else:
            if (timeout := grpc_messages.timeout_of(head)) is not None:
                stream.deadline = self._now + timeout
            self._begin_call(stream, open_session, metadata)
        if self._block_ends_stream:
            self._remote_ended(stream)

    def _begin_call(self, stream: CallStream, open_session: OpenSession, data: Metadata) -> None:
        try:
            stream.session = open_session(stream, data)
        except Exception:
            log.exception("bug: a session could not begin")
            stream.finish(Status.INTERNAL, "internal error")

    # The other kinds.

    def _priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        self._spend()
        if stream_id == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        if len(payload) != 5:
            raise StreamFault(stream_id, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY of a wrong size")
        if frames.depends_on_itself(payload, stream_id):
            self._check_opened(stream_id, "PRIORITY on itself")
            text = "a stream that depends on itself"
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, text)

    def _rst_stream(self, _flags: int, stream_id: int, payload: bytes) -> None:
        frames.check_size(payload, 4, "RST_STREAM")
        self._check_opened(stream_id, "RST_STREAM")
        stream = self.streams.get(stream_id)
        if stream is None or not stream.headers_sent:
            self._spend()  # a reset of what we have answered is how gateways leave
        if stream is not None:
            self._remove(stream)

    def _settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        self._spend()
        if flags & ACK:
            frames.check_size(payload, 0, "acknowledgement of SETTINGS")
            return
        before = self.sender.peer.initial_window
        self.sender.peer.apply(payload)
        self.sender.control(frames.SETTINGS_ACK)
        if change := self.sender.peer.initial_window - before:
            self._spend(len(self.streams))
            self._shift_windows(change)

    def _shift_windows(self, change: int) -> None:
        """A new initial window changes those of open streams, also below zero (section 6.9.2)."""
        for stream in list(self.streams.values()):
            try:
                self.sender.window_opened(change, stream)
            except StreamFault as fault:
                raise ConnectionFault(fault.code, fault.text) from fault

    def _push_promise(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE from a client")

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        frames.check_size(payload, 8, "PING")
        self._spend()
        if not flags & ACK:
            self.sender.control(frames.ping_ack(payload))

    def _goaway(self, _flags: int, stream_id: int, payload: bytes) -> None:
        """The client opens no more streams of ours; those that are open go on."""
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY without its error code")
        self._spend()

    def _window_update(self, _flags: int, stream_id: int, payload: bytes) -> None:
        self._spend(0 if stream_id else len(self.sender.blocked))
        if stream_id:
            self._check_opened(stream_id, "WINDOW_UPDATE")
        increment = frames.increment_of(payload, stream_id)
        if not stream_id:
            self.sender.window_opened(increment, None)
            return
        stream = self.streams.get(stream_id)
        if stream is not None:
            self.sender.window_opened(increment, stream)

    # States of streams (section 5.1).

    def _check_opened(self, stream_id: int, name: str) -> None:
        if stream_id == 0 or stream_id > self._last_stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"{name} on an idle stream")

    def _check_closed(self, stream: CallStream | None, stream_id: int) -> None:
        """DATA came where none may come."""
        self._check_opened(stream_id, "DATA")
        if stream is None and stream_id in self._reset_by_us:
            return  # it was on its way
        raise StreamFault(stream_id, ErrorCode.STREAM_CLOSED, "DATA on a closed stream")

    def _finished(self, stream: CallStream) -> None:
        """Our side has ended the call. Its session is told when it has returned."""
        self._over.append(stream)
        if not self._receiving:
            self._wake()

    def _drained(self, stream: CallStream) -> None:
        self._credit(stream)
        self._credit_all()
        if stream.session is None:
            self._leave(stream)

    def _tell_over(self) -> None:
        while self._over:
            over, self._over = self._over, []
            for stream in over:
                self._tell_closed(stream)
                self._leave(stream)

    def _leave(self, stream: CallStream) -> None:
        """Forget a stream whose call is over, once all is sent."""
        if not stream.trailers_sent or stream.id not in self.streams:
            return
        if not stream.remote_ended:  # it need not send the rest (RFC 9113 section 8.1)
            self.sender.control(frames.rst_stream(stream.id, ErrorCode.NO_ERROR))
            self._remember_reset(stream.id)
        self._remove(stream)

    def _reset(self, fault: StreamFault) -> None:
        log.debug("stream %d is reset: %s: %s", fault.stream_id, fault.code.name, fault)
        self._spend()
        self.sender.control(frames.rst_stream(fault.stream_id, fault.code))
        self._remember_reset(fault.stream_id)
        if (stream := self.streams.get(fault.stream_id)) is not None:
            self._remove(stream)

    def _remember_reset(self, stream_id: int) -> None:
        self._reset_by_us[stream_id] = None
        if len(self._reset_by_us) > REMEMBERED_RESETS:
            self._reset_by_us.popitem(last=False)

    def _remove(self, stream: CallStream) -> None:
        self.streams.pop(stream.id, None)
        self.sender.reset(stream)
        if self._data_stream is stream:
            self._data_stream = None
        self._tell_closed(stream)

    def _tell_closed(self, stream: CallStream) -> None:
        """Once. A bug in one session must not keep the others from being told."""
        session, stream.session = stream.session, None
        if session is None:
            return
        try:
            session.closed()
        except Exception:
            log.exception("bug: a session could not be closed")

    # What the peer may send (sections 5.2 and 10.5).

    def _charge_connection(self, length: int) -> None:
        self._receive_window -= length
        if self._receive_window < 0:
            text = "more than the connection's window"
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, text)
        self._uncredited += length
        self._credit_all()

    def _credit_all(self) -> None:
        """Let the peer send on, unless all its streams together leave too much untaken."""
        if (
            self._uncredited * 2 > self._limits.connection_window_bytes
            and self.sender.unsent_bytes <= self._limits.max_unsent_bytes_of_all
        ):
            self._credit_connection(self._uncredited)
            self._uncredited = 0

    def _credit_connection(self, increment: int) -> None:
        if increment > 0:
            self._receive_window += increment
            self.sender.control(frames.window_update(0, increment))

    def _credit(self, stream: CallStream) -> None:
        """Let the peer send on, unless it does not take what the stream has for it."""
        if (
            stream.uncredited * 2 > self._limits.stream_window_bytes
            and stream.unsent_bytes <= self._limits.max_unsent_bytes
            and not stream.remote_ended
            and stream.id in self.streams
        ):
            self.sender.control(frames.window_update(stream.id, stream.uncredited))
            stream.receive_window += stream.uncredited
            stream.uncredited = 0

    def _spend(self, streams: int = 0) -> None:
        """A frame that carries no request, and makes us look at so many streams."""
        useful = self._answered + self.sender.frames_sent
        earned, self._earned = useful - self._earned, useful
        if not self._allowance.spend(self._now, earned, 1.0 + streams / STREAMS_PER_FRAME):
            text = "too many frames that carry no request"
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, text)

    def _output(self) -> None:
        if not self._receiving:
            self._wake()
