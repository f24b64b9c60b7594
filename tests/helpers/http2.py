"""The HTTP/2 core in memory, with a peer that makes frames by hand and a client on hyper-h2.

Sessions remember what they were told.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    ResponseReceived,
    SettingsAcknowledged,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes
from hpack import Decoder, Encoder
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame

from epp.extproc.transport.http2.connection import Connection
from epp.extproc.transport.http2.settings import Limits
from epp.extproc.transport.interfaces import Metadata, Stream

METHOD = "/test.Echo/Call"
CALL = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", METHOD),
    (":authority", "test"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(5, 10)
ACK = END_STREAM = 1
END_HEADERS = 4
PADDED = 8
HAS_PRIORITY = 0x20
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 4, 5

Fields = Iterable[tuple[str, str]]


class SilentSession:
    def __init__(self, stream: Stream, metadata: Metadata) -> None:
        self.stream = stream
        self.metadata = metadata
        self.messages: list[bytes] = []
        self.half_closed_count = 0
        self.closed_count = 0

    def received(self, message: bytes) -> None:
        assert type(message) is bytes
        assert not self.half_closed_count, "a message after the end"
        assert not self.closed_count, "a message after closed"
        self.messages.append(message)

    def half_closed(self) -> None:
        assert not self.half_closed_count, "half closed twice"
        assert not self.closed_count, "half closed after closed"
        self.half_closed_count += 1

    def closed(self) -> None:
        assert not self.closed_count, "closed twice"
        self.closed_count += 1


class EchoSession(SilentSession):
    def received(self, message: bytes) -> None:
        super().received(message)
        self.stream.send(message)

    def half_closed(self) -> None:
        super().half_closed()
        self.stream.finish()


class Served:
    """A connection under test and the sessions that it opened."""

    def __init__(
        self,
        kind: Callable[[Stream, Metadata], SilentSession] = EchoSession,
        limits: Limits | None = None,
    ) -> None:
        self.sessions: list[SilentSession] = []
        self.wakes = 0
        self.now = 0.0
        self._kind = kind
        self.connection = Connection({METHOD: self._open}, limits or Limits(), self._wake, self.now)

    def receive(self, data: bytes) -> None:
        self.connection.receive(data, self.now)

    def output(self) -> bytes:
        self.connection.settle()
        return b"".join(self.connection.take())

    @property
    def all_closed(self) -> bool:
        return all(session.closed_count == 1 for session in self.sessions)

    def _open(self, stream: Stream, metadata: Metadata) -> SilentSession:
        session = self._kind(stream, metadata)
        self.sessions.append(session)
        return session

    def _wake(self) -> None:
        self.wakes += 1


class RawPeer(Served):
    """Sends whatever frames a test makes."""

    def begin(self, settings: dict[int, int] | None = None) -> list[Frame]:
        return self.send(PREFACE + settings_frame(settings or {}) + frame(SETTINGS, ACK, 0))

    def send(self, *pieces: bytes) -> list[Frame]:
        """What comes back."""
        self.receive(b"".join(pieces))
        return self.frames()

    def frames(self) -> list[Frame]:
        return parsed(self.output())


def started(
    kind: Callable[[Stream, Metadata], SilentSession] = EchoSession,
    limits: Limits | None = None,
    settings: dict[int, int] | None = None,
) -> RawPeer:
    peer = RawPeer(kind, limits)
    peer.begin(settings)
    return peer


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream_id) + payload


def settings_frame(values: dict[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in values.items()))


def window_update(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, struct.pack(">I", increment))


def rst_stream(stream_id: int, code: int = ErrorCodes.CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream_id, struct.pack(">I", code))


def block(fields: Fields) -> bytes:
    """A field section that neither needs nor changes the dynamic table."""
    return Encoder().encode([(name, value, True) for name, value in fields])


def headers(stream_id: int, *more: tuple[str, str], ends: bool = False) -> bytes:
    """The request of a call."""
    return request(stream_id, (*CALL, *more), ends)


def request(stream_id: int, fields: Fields, ends: bool = False) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream_id, block(fields))


def framed(message: bytes, zipped: bool = False) -> bytes:
    return struct.pack(">BI", zipped, len(message)) + message


def data(stream_id: int, payload: bytes, ends: bool = False, most: int = 16_384) -> bytes:
    """In as many frames as it takes."""
    pieces = [payload[at : at + most] for at in range(0, len(payload), most)] or [b""]
    flags = [0] * (len(pieces) - 1) + [END_STREAM if ends else 0]
    return b"".join(frame(DATA, *pair) for pair in _with_id(flags, stream_id, pieces))


def _with_id(
    flags: list[int], stream_id: int, pieces: list[bytes]
) -> Iterable[tuple[int, int, bytes]]:
    return ((flag, stream_id, piece) for flag, piece in zip(flags, pieces, strict=True))


def parsed(output: bytes) -> list[Frame]:
    frames = []
    view, at = memoryview(output), 0
    while at < len(view):
        one, length = Frame.parse_frame_header(view[at : at + 9], strict=True)
        assert at + 9 + length <= len(view), "half a frame"
        one.parse_body(view[at + 9 : at + 9 + length])
        frames.append(one)
        at += 9 + length
    return frames


def fields_of(one: Frame) -> dict[str, str]:
    assert isinstance(one, HeadersFrame)
    return {str(name): str(value) for name, value in Decoder().decode(one.data)}


def of_stream(frames: Iterable[Frame], stream_id: int) -> list[Frame]:
    return [one for one in frames if one.stream_id == stream_id]


def field_sections(frames: Iterable[Frame], stream_id: int) -> list[dict[str, str]]:
    sections = of_stream(frames, stream_id)
    return [fields_of(one) for one in sections if isinstance(one, HeadersFrame)]


def statuses(frames: Iterable[Frame], stream_id: int) -> list[str]:
    sections = field_sections(frames, stream_id)
    return [section["grpc-status"] for section in sections if "grpc-status" in section]


def data_of(frames: Iterable[Frame], stream_id: int) -> bytes:
    return b"".join(one.data for one in of_stream(frames, stream_id) if isinstance(one, DataFrame))


def messages_of(payload: bytes) -> list[bytes]:
    messages, at = [], 0
    while at + 5 <= len(payload):
        zipped, size = struct.unpack_from(">BI", payload, at)
        assert not zipped
        if at + 5 + size > len(payload):
            break
        messages.append(payload[at + 5 : at + 5 + size])
        at += 5 + size
    return messages


def resets(frames: Iterable[Frame]) -> list[tuple[int, int]]:
    return [(one.stream_id, one.error_code) for one in frames if isinstance(one, RstStreamFrame)]


def goaways(frames: Iterable[Frame]) -> list[int]:
    return [one.error_code for one in frames if isinstance(one, GoAwayFrame)]


class Call:
    """One call as hyper-h2 sees it."""

    def __init__(self, stream_id: int) -> None:
        self.id = stream_id
        self.unsent = b""
        self.sent_end = False
        self.cancelled = False
        self.headers: dict[str, str] = {}
        self.trailers: dict[str, str] | None = None
        self.answer = bytearray()
        self.unacknowledged = 0
        self.reset_code: int | None = None

    @property
    def over(self) -> bool:
        return self.cancelled or self.trailers is not None or self.reset_code is not None

    @property
    def messages(self) -> list[bytes]:
        return messages_of(bytes(self.answer))


class Client:
    """Holds what both sides have written until a test lets so much of it through."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.calls: dict[int, Call] = {}
        self._to_server, self._to_client, self._partial = bytearray(), bytearray(), bytearray()
        self._unacknowledged = True  # our SETTINGS
        self.settle()

    def open(self, *more: tuple[str, str]) -> Call:
        call = Call(self.h2.get_next_available_stream_id())
        self.h2.send_headers(call.id, [*CALL, *more])
        self.calls[call.id] = call
        return call

    def write(self, call: Call, most: int) -> None:
        """So much of a call as the windows allow, and the end after the last byte."""
        if call.over or call.sent_end:
            return
        room = self.h2.local_flow_control_window(call.id)
        size = min(room, self.h2.max_outbound_frame_size, most, len(call.unsent))
        if size > 0:
            self.h2.send_data(call.id, call.unsent[:size])
            call.unsent = call.unsent[size:]
        if not call.unsent:
            self.h2.end_stream(call.id)
            call.sent_end = True

    def cancel(self, call: Call) -> None:
        if not call.over:
            call.cancelled = True
            self.h2.reset_stream(call.id, ErrorCodes.CANCEL)

    def acknowledge(self, call: Call) -> None:
        """Give the windows back."""
        size, call.unacknowledged = call.unacknowledged, 0
        if size:
            self.h2.acknowledge_received_data(size, call.id)

    def to_server(self, most: int) -> bool:
        self._to_server += self.h2.data_to_send()
        piece = bytes(self._to_server[:most])
        del self._to_server[:most]
        if piece:
            self.served.receive(piece)
        return bool(piece)

    def to_client(self, most: int) -> bool:
        self._to_client += self.served.output()
        piece = bytes(self._to_client[:most])
        del self._to_client[:most]
        self._partial += piece
        while len(self._partial) >= 9:
            size = 9 + int.from_bytes(self._partial[:3], "big")
            if len(self._partial) < size:
                break
            # Frame by frame: hyper-h2 applies acknowledged settings from its next call on only.
            for event in self.h2.receive_data(bytes(self._partial[:size])):
                self._heard(event)
            del self._partial[:size]
        return bool(piece)

    def announce(self, code: SettingCodes, value: int) -> bool:
        """One at a time: hyper-h2 takes an acknowledgement for one of every kind of setting."""
        if self._unacknowledged:
            return False
        self._unacknowledged = True
        self.h2.update_settings({code: value})
        return True

    def settle(self, chunk: int = 1 << 30) -> None:
        """Until nothing is on its way."""
        while self.to_server(chunk) or self.to_client(1 << 30):
            pass

    def _heard(self, event: Event) -> None:
        if isinstance(event, ResponseReceived):
            call = self.calls[event.stream_id]
            call.headers = {str(name): str(value) for name, value in event.headers}
            if event.stream_ended is not None:
                call.trailers = call.headers
        elif isinstance(event, DataReceived):
            call = self.calls[event.stream_id]
            call.answer += event.data
            call.unacknowledged += event.flow_controlled_length
        elif isinstance(event, TrailersReceived):
            call = self.calls[event.stream_id]
            call.trailers = {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, SettingsAcknowledged):
            self._unacknowledged = False
        elif isinstance(event, StreamReset):
            self.calls[event.stream_id].reset_code = int(event.error_code)
