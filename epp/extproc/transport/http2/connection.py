"""One connection, without a socket: bytes in, calls to sessions, pieces of bytes out.

Follows RFC 9113; the section is named where a rule is applied. Never waits and reads no clock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from epp.extproc.transport.http2 import frames
from epp.extproc.transport.http2.allowance import Allowance
from epp.extproc.transport.http2.calls import Calls
from epp.extproc.transport.http2.faults import ConnectionFault, ErrorCode, StreamFault
from epp.extproc.transport.http2.field_decoder import FieldDecoder
from epp.extproc.transport.http2.fields import MalformedFields, check_trailers
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
from epp.extproc.transport.http2.grpc_messages import VIEWED_BYTES
from epp.extproc.transport.http2.sender import Piece
from epp.extproc.transport.http2.settings import Limits
from epp.extproc.transport.http2.stream import CallStream
from epp.extproc.transport.interfaces import Services

log = logging.getLogger(__name__)

STREAMS_PER_FRAME: Final = 50  # that can be looked at for the price of a frame


class Connection:
    """Call `receive` for what was read and write what `take` returns, after every call."""

    def __init__(
        self, services: Services, limits: Limits, wake: Callable[[], None], now: float
    ) -> None:
        """`wake` is called when `take` has something outside of `receive`. `now` is monotonic."""
        self.calls = Calls(services, limits, self._output)
        self.sender = self.calls.sender
        self.closing = False  # nothing more is read; close the socket after writing
        self.ready = False  # preface and first SETTINGS have come
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
        self._allowance = Allowance(limits.control_burst, limits.control_per_second, now)
        self._earned = 0  # of what is useful, what the allowance was told
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
        self.calls.windows.announce()

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
            self.calls.tell_over()
            if self.sender.paused_bytes > self._limits.max_paused_bytes:
                text = "answers that the peer does not take"
                raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, text)
        except ConnectionFault as fault:
            self.fail(fault)
        finally:
            self._receiving = False

    def fail(self, fault: ConnectionFault) -> None:
        log.info("an HTTP/2 connection is closed: %s: %s", fault.code.name, fault.text)
        self.sender.control(frames.goaway(self.calls.last_stream_id, fault.code, fault.text))
        self.lost()

    def lost(self) -> None:
        """The socket is closed, or is going to be: every session learns of it."""
        self.closing = True
        self.calls.remove_all()

    def settle(self) -> None:
        """Tell the sessions that ended their calls outside of `receive`."""
        self.calls.tell_over()

    def announce_end(self) -> None:
        """Streams that are already on their way are still served (section 6.8)."""
        self.sender.control(frames.goaway(MAX_STREAM_ID, ErrorCode.NO_ERROR, "shutting down"))

    def refuse_new(self) -> None:
        self.calls.refuse_above = self.calls.last_stream_id
        self.sender.control(frames.goaway(self.calls.last_stream_id, ErrorCode.NO_ERROR))

    def ping(self) -> None:
        self.sender.control(frames.ping(b"epp-ping"))

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
            self.calls.tell_over()
        return data[position:]

    # DATA (section 6.1). Payloads are handed on as they come, also pieces of a frame.

    def _data(self, flags: int, stream_id: int, length: int) -> None:
        """The header of a frame. Its payload follows."""
        self.calls.windows.charge(length)
        self._data_left, self._data_ends_stream = length, bool(flags & END_STREAM)
        self._data_stream = None
        self._data_stream = stream = self.calls.data_begins(stream_id, length)
        if stream is not None and length == 0:
            if not self._data_ends_stream:
                self._spend()
            self._data_complete(stream)

    def _more_data(self, data: bytes, position: int) -> int:
        end = min(position + self._data_left, len(data))
        self._data_left -= end - position
        stream = self._data_stream
        if stream is None or stream.reset:
            return end
        try:
            if end - position >= VIEWED_BYTES:
                self.calls.data(stream, memoryview(data)[position:end])
            else:
                self.calls.data(stream, data[position:end])
            if not self._data_left:
                self._data_complete(stream)
        except StreamFault as fault:
            self._data_stream = None
            self._reset(fault)
        self.calls.tell_over()
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
        self.calls.data(stream, data)
        if flags & END_STREAM:
            self._data_ends_stream = True
            self._data_complete(stream)

    def _data_complete(self, stream: CallStream) -> None:
        if self._data_ends_stream:
            self.calls.remote_ended(stream)

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
        """A complete field section. It is read in any case, to keep the table in step."""
        calls, stream_id, ends = self.calls, self._block_stream, self._block_ends_stream
        try:
            if stream_id > calls.last_stream_id:
                head = self._fields.request_head(block)
                if self._block_loops:
                    raise MalformedFields("a stream that depends on itself")
                calls.open(stream_id, head, ends=ends, now=self._now)
                return
            fields = self._fields.fields(block)
            if (stream := calls.trailers(stream_id, ends=ends)) is not None:
                check_trailers(fields)
                calls.remote_ended(stream)
        except MalformedFields as fault:
            calls.last_stream_id = max(stream_id, calls.last_stream_id)
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, str(fault)) from fault

    # The other kinds.

    def _priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        self._spend()
        if stream_id == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        if len(payload) != 5:
            raise StreamFault(stream_id, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY of a wrong size")
        if frames.depends_on_itself(payload, stream_id):
            self.calls.check_opened(stream_id, "PRIORITY on itself")
            text = "a stream that depends on itself"
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, text)

    def _rst_stream(self, _flags: int, stream_id: int, payload: bytes) -> None:
        frames.check_size(payload, 4, "RST_STREAM")
        self.calls.check_opened(stream_id, "RST_STREAM")
        stream = self.calls.streams.get(stream_id)
        if stream is None or not stream.headers_sent:
            self._spend()  # a reset of what we have answered is how gateways leave
        if stream is not None:
            self.calls.remove(stream)

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
            self._spend(len(self.calls.streams))
            self.calls.shift_send_windows(change)

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
            self.calls.check_opened(stream_id, "WINDOW_UPDATE")
        increment = frames.increment_of(payload, stream_id)
        if not stream_id:
            self.sender.window_opened(increment, None)
            return
        stream = self.calls.streams.get(stream_id)
        if stream is not None:
            self.sender.window_opened(increment, stream)

    def _reset(self, fault: StreamFault) -> None:
        log.debug("stream %d is reset: %s: %s", fault.stream_id, fault.code.name, fault)
        self._spend()
        self.calls.reset(fault.stream_id, fault.code)

    def _spend(self, streams: int = 0) -> None:
        """A frame that carries no request, and makes us look at so many streams."""
        useful = self.calls.answered + self.sender.frames_sent
        earned, self._earned = useful - self._earned, useful
        if not self._allowance.spend(self._now, earned, 1.0 + streams / STREAMS_PER_FRAME):
            text = "too many frames that carry no request"
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, text)

    def _output(self) -> None:
        if not self._receiving:
            self._wake()
