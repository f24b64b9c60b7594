"""What goes out on a connection: frames in order, within both windows (RFC 9113 section 5.2)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from epp.extproc.transport.http2 import frames, grpc_messages
from epp.extproc.transport.http2.faults import ConnectionFault, ErrorCode, StreamFault
from epp.extproc.transport.http2.frames import END_HEADERS, END_STREAM, Kind
from epp.extproc.transport.http2.settings import DEFAULT_WINDOW_BYTES, PeerSettings
from epp.extproc.transport.http2.stream import CallStream
from epp.extproc.transport.interfaces import Status

Piece = bytes | memoryview

# A DATA frame with a whole gRPC message: frame header and message prefix in one go.
MESSAGE_FRAME: Final = struct.Struct(">IBIBI")
# Of a message that fits one frame and is copied; longer ones are sent from where they lie.
COPIED_BYTES: Final = 4096

# What each piece of what is unsent takes beside its bytes.
PIECE_OVERHEAD: Final = 256

RESPONSE_HEADERS: Final = grpc_messages.RESPONSE_HEADERS
OPEN_RESPONSE: Final = len(RESPONSE_HEADERS) << 8 | Kind.HEADERS
TRAILERS_OK: Final = grpc_messages.TRAILERS_OK
CLOSE_RESPONSE: Final = len(TRAILERS_OK) << 8 | Kind.HEADERS


class Sender:
    """Collects pieces until the shell takes them. Nothing here waits."""

    def __init__(
        self,
        max_send_bytes: int,
        wake: Callable[[], None],
        finished: Callable[[CallStream], None],
        drained: Callable[[CallStream], None],
    ) -> None:
        """What it tells: there is something to take, a session ended its call, a stream moved."""
        self.peer = PeerSettings()
        self.window = DEFAULT_WINDOW_BYTES  # of the connection
        self.paused = False  # the socket takes nothing more at present
        self.blocked: dict[int, CallStream] = {}  # streams with something unsent, in their turns
        self.frames_sent = 0  # that carry messages
        self.unsent_bytes = 0  # of all streams
        self.paused_bytes = 0  # collected while paused, all the same
        self._max_send_bytes = max_send_bytes
        self._wake = wake
        self._finished = finished
        self._drained = drained
        self._pieces: list[Piece] = []

    def take(self) -> list[Piece]:
        """All that is to be written now."""
        pieces, self._pieces = self._pieces, []
        return pieces

    def control(self, frame: bytes) -> None:
        self._put(frame)

    def message(self, stream: CallStream, message: bytes) -> None:
        size = len(message)
        framed = size + 5
        if size > self._max_send_bytes:
            text = f"a message of {size} bytes is larger than {self._max_send_bytes}"
            stream.finish(Status.RESOURCE_EXHAUSTED, text)
            return
        if not stream.headers_sent:
            stream.headers_sent = True
            self._put(frames.HEADER.pack(OPEN_RESPONSE, END_HEADERS, stream.id) + RESPONSE_HEADERS)
        if (
            framed > COPIED_BYTES
            or framed > stream.send_window
            or framed > self.window
            or stream.unsent
            or self.paused
        ):
            self._queue(stream, message, size)
            return
        stream.send_window -= framed
        self.window -= framed
        self.frames_sent += 1
        # Kind DATA and no flags are zeros.
        self._put(MESSAGE_FRAME.pack(framed << 8, 0, stream.id, 0, size) + message)

    def finish(self, stream: CallStream) -> None:
        if not stream.is_call:
            self._answer_plain(stream)
        elif not stream.unsent:
            self._end(stream)
        self._finished(stream)

    def reset(self, stream: CallStream) -> None:
        """Forget what the stream still had to send."""
        stream.reset = True
        stream.unsent.clear()
        self.unsent_bytes -= stream.unsent_bytes
        stream.unsent_bytes = 0
        self.blocked.pop(stream.id, None)

    def resume(self) -> None:
        """The socket takes bytes again."""
        self.paused = False
        self.paused_bytes = 0
        self._drain_all()

    def window_opened(self, increment: int, stream: CallStream | None) -> None:
        """Raises a fault when a window exceeds its maximum. None: that of the connection."""
        if stream is None:
            self.window += increment
            if self.window > frames.MAX_WINDOW:
                text = "the connection's window grew too large"
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, text)
            self._drain_all()
            return
        stream.send_window += increment
        if stream.send_window > frames.MAX_WINDOW:
            text = "a stream's window grew too large"
            raise StreamFault(stream.id, ErrorCode.FLOW_CONTROL_ERROR, text)
        if stream.unsent:
            self._drain(stream)

    def _queue(self, stream: CallStream, message: bytes, size: int) -> None:
        self._append(stream, grpc_messages.PREFIX.pack(0, size))
        if size:
            self._append(stream, memoryview(message))
        self.blocked[stream.id] = stream
        self._drain(stream)

    def _drain_all(self) -> None:
        """Each stream in its turn, so that one with much to send does not hold the others up."""
        for stream in list(self.blocked.values()):
            if self.window <= 0 or self.paused:
                return
            self._drain(stream)
            if stream.id in self.blocked:  # to the end of the line
                self.blocked[stream.id] = self.blocked.pop(stream.id)

    def _drain(self, stream: CallStream) -> None:
        """Cut what is unsent into frames, as far as windows and the peer's frame size allow."""
        while stream.unsent and not self.paused:
            room = min(stream.send_window, self.window, self.peer.max_frame_bytes)
            if room <= 0:
                break
            before = len(stream.unsent)
            pieces, size = _cut(stream, room)
            stream.send_window -= size
            self.window -= size
            self._count(stream, -size - PIECE_OVERHEAD * (before - len(stream.unsent)))
            self.frames_sent += 1
            self._put(frames.HEADER.pack(size << 8 | Kind.DATA, 0, stream.id))
            self._pieces += pieces
        if not stream.unsent:
            self.blocked.pop(stream.id, None)
            if stream.status is not None:
                self._end(stream)
        self._drained(stream)

    def _answer_plain(self, stream: CallStream) -> None:
        stream.headers_sent = True
        fields = grpc_messages.NOT_GRPC_HEADERS
        self._put(frames.frame(Kind.HEADERS, END_HEADERS, stream.id, fields))
        self._append(stream, grpc_messages.NOT_GRPC_TEXT)
        self.blocked[stream.id] = stream
        self._drain(stream)

    def _end(self, stream: CallStream) -> None:
        assert stream.status is not None
        stream.trailers_sent = True
        flags = END_HEADERS | END_STREAM
        status, text = stream.status
        if not stream.is_call:
            self._put(frames.frame(Kind.DATA, END_STREAM, stream.id))
        elif not stream.headers_sent:
            fields = grpc_messages.only_trailers(status, text)
            self._put(frames.frame(Kind.HEADERS, flags, stream.id, fields))
        elif status == 0 and not text:
            self._put(frames.HEADER.pack(CLOSE_RESPONSE, flags, stream.id) + TRAILERS_OK)
        else:
            fields = grpc_messages.trailers(status, text)
            self._put(frames.frame(Kind.HEADERS, flags, stream.id, fields))

    def _put(self, piece: Piece) -> None:
        if not self._pieces:
            self._wake()
        if self.paused:
            self.paused_bytes += len(piece)
        self._pieces.append(piece)

    def _append(self, stream: CallStream, piece: Piece) -> None:
        stream.unsent.append(piece)
        self._count(stream, len(piece) + PIECE_OVERHEAD)

    def _count(self, stream: CallStream, size: int) -> None:
        stream.unsent_bytes += size
        self.unsent_bytes += size


def _cut(stream: CallStream, room: int) -> tuple[list[Piece], int]:
    """Up to so many bytes from the front of what is unsent."""
    pieces: list[Piece] = []
    size, unsent = 0, stream.unsent
    while unsent and size < room:
        piece = unsent.popleft()
        if len(piece) > room - size:
            unsent.appendleft(memoryview(piece)[room - size :])
            piece = piece[: room - size]
        pieces.append(piece)
        size += len(piece)
    return pieces, size
