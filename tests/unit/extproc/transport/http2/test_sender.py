"""What goes out: whole answers, in order, within the windows, and each stream in its turn."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

import pytest
from hyperframe.frame import DataFrame, Frame, HeadersFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from epp.extproc.transport.http2 import frames, grpc_messages
from epp.extproc.transport.http2.faults import ConnectionFault, ErrorCode, StreamFault
from epp.extproc.transport.http2.grpc_messages import MessageReader
from epp.extproc.transport.http2.sender import PIECE_OVERHEAD, Sender
from epp.extproc.transport.http2.stream import CallStream
from epp.extproc.transport.interfaces import Status
from tests.helpers.http2 import (
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    data_of,
    field_sections,
    fields_of,
    framed,
    messages_of,
    of_stream,
    parsed,
    settings_frame,
    statuses,
)

WINDOW = 65_535
MAX_WINDOW = (1 << 31) - 1
PLENTY = 1 << 24


class Sending:
    """A sender, its streams and what it told."""

    def __init__(self, max_send_bytes: int = PLENTY) -> None:
        self.wakes = 0
        self.finished: list[int] = []
        self.drained: list[int] = []
        self.streams: dict[int, CallStream] = {}
        self.sender = Sender(max_send_bytes, self._wake, self._finished, self._drained)

    def open(self, stream_id: int = 1) -> CallStream:
        stream = CallStream(
            stream_id,
            self.sender,
            MessageReader("", 0),
            receive_window=WINDOW,
            send_window=self.sender.peer.initial_window,
        )
        self.streams[stream_id] = stream
        return stream

    def announce(self, name: int, value: int) -> None:
        """As a connection does with the peer's SETTINGS."""
        before = self.sender.peer.initial_window
        self.sender.peer.apply(settings_frame({name: value})[frames.HEADER_BYTES :])
        if change := self.sender.peer.initial_window - before:
            for stream in self.streams.values():
                self.sender.window_opened(change, stream)

    def frames(self) -> list[Frame]:
        return parsed(b"".join(self.sender.take()))

    def sizes(self) -> list[tuple[int, int]]:
        """Of the DATA frames, with their streams."""
        return [(one.stream_id, len(one.data)) for one in self.frames() if type(one) is DataFrame]

    def _wake(self) -> None:
        self.wakes += 1

    def _finished(self, stream: CallStream) -> None:
        self.finished.append(stream.id)

    def _drained(self, stream: CallStream) -> None:
        self.drained.append(stream.id)


def wide(max_send_bytes: int = PLENTY) -> Sending:
    """No window is in the way."""
    sending = Sending(max_send_bytes)
    sending.announce(INITIAL_WINDOW_SIZE, PLENTY)
    sending.sender.window_opened(PLENTY - WINDOW, None)
    return sending


# One answer.


def test_the_first_message_goes_out_with_the_headers() -> None:
    sending = Sending()
    stream = sending.open(7)
    stream.send(b"hello")
    stream.send(b"")
    stream.finish()
    headers = HeadersFrame(7, grpc_messages.RESPONSE_HEADERS, flags=["END_HEADERS"])
    trailers = HeadersFrame(7, grpc_messages.TRAILERS_OK, flags=["END_HEADERS", "END_STREAM"])
    hello, empty = DataFrame(7, framed(b"hello")), DataFrame(7, framed(b""))
    assert b"".join(sending.sender.take()) == b"".join(
        one.serialize() for one in (headers, hello, empty, trailers)
    )
    assert stream.headers_sent
    assert stream.trailers_sent
    assert sending.sender.take() == []


@pytest.mark.parametrize(
    ("most", "size", "sizes"),
    [
        (16_384, 0, [5]),
        (16_384, 4090, [4095]),
        (16_384, 4091, [4096]),
        (16_384, 4092, [4097]),
        (16_384, 16_378, [16_383]),
        (16_384, 16_379, [16_384]),
        (16_384, 16_380, [16_384, 1]),
        (16_384, 40_000, [16_384, 16_384, 7237]),
        (16_385, 16_380, [16_385]),
        (20_000, 40_000, [20_000, 20_000, 5]),
        (1 << 20, 3 << 20, [1 << 20, 1 << 20, 1 << 20, 5]),
        ((1 << 24) - 1, 1 << 20, [(1 << 20) + 5]),
    ],
)
def test_messages_are_split_at_the_frame_size(most: int, size: int, sizes: list[int]) -> None:
    sending = wide()
    sending.announce(MAX_FRAME_SIZE, most)
    message = bytes(range(251)) * (size // 251 + 1)
    message = message[:size]
    stream = sending.open()
    stream.send(message)
    sent = sending.frames()
    assert [len(one.data) for one in sent if type(one) is DataFrame] == sizes
    assert data_of(sent, 1) == framed(message)
    assert not any("END_STREAM" in one.flags for one in sent)
    assert sending.sender.frames_sent == len(sizes)
    assert stream.send_window == PLENTY - size - 5
    assert sending.sender.window == PLENTY - size - 5


def test_large_messages_are_not_copied() -> None:
    sending = wide()
    message = bytes(50_000)
    sending.open().send(message)
    views = [one for one in sending.sender.take() if isinstance(one, memoryview)]
    assert len(views) == 4
    assert all(one.obj is message for one in views)


def test_a_call_without_messages_is_answered_by_trailers_alone() -> None:
    sending = Sending()
    stream = sending.open()
    stream.finish(Status.NOT_FOUND, "not here")
    [only] = sending.frames()
    assert set(only.flags) == {"END_HEADERS", "END_STREAM"}
    assert fields_of(only) == {
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-accept-encoding": "identity,deflate,gzip",
        "grpc-status": "5",
        "grpc-message": "not here",
    }
    assert stream.trailers_sent
    assert sending.finished == [1]


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (Status.OK, "", {"grpc-status": "0"}),
        (Status.OK, "fine", {"grpc-status": "0", "grpc-message": "fine"}),
        (Status.INTERNAL, "", {"grpc-status": "13"}),
        (Status.INTERNAL, "a b", {"grpc-status": "13", "grpc-message": "a b"}),
    ],
)
def test_trailers_after_a_message(status: Status, text: str, expected: dict[str, str]) -> None:
    sending = Sending()
    stream = sending.open()
    stream.send(b"x")
    stream.finish(status, text)
    sent = sending.frames()
    assert [type(one) for one in sent] == [HeadersFrame, DataFrame, HeadersFrame]
    assert field_sections(sent, 1)[1] == expected
    assert [set(one.flags) for one in sent[1:]] == [set(), {"END_HEADERS", "END_STREAM"}]


@pytest.mark.parametrize(("size", "fits"), [(0, True), (1000, True), (1001, False)])
def test_a_message_that_is_too_large_ends_its_call(size: int, fits: bool) -> None:
    sending = Sending(max_send_bytes=1000)
    stream = sending.open()
    stream.send(b"first")
    stream.send(bytes(size))
    stream.send(b"last")
    sent = sending.frames()
    if fits:
        assert messages_of(data_of(sent, 1)) == [b"first", bytes(size), b"last"]
        assert statuses(sent, 1) == []
    else:
        assert messages_of(data_of(sent, 1)) == [b"first"]
        assert statuses(sent, 1) == [str(int(Status.RESOURCE_EXHAUSTED))]


def test_what_is_no_call_is_told_so() -> None:
    sending = Sending()
    stream = sending.open()
    stream.is_call = False
    stream.finish(Status.UNIMPLEMENTED)
    sent = sending.frames()
    assert fields_of(sent[0])[":status"] == "415"
    assert data_of(sent, 1) == grpc_messages.NOT_GRPC_TEXT
    assert ["END_STREAM" in one.flags for one in sent] == [False] * (len(sent) - 1) + [True]
    assert stream.trailers_sent
    assert sending.finished == [1]
    assert sending.sender.unsent_bytes == 0


def test_what_is_no_call_keeps_to_the_windows() -> None:
    sending = Sending()
    sending.announce(INITIAL_WINDOW_SIZE, 3)
    stream = sending.open()
    stream.is_call = False
    stream.finish(Status.UNIMPLEMENTED)
    assert sending.sizes() == [(1, 3)]
    assert not stream.trailers_sent
    sending.sender.window_opened(1000, stream)
    rest = sending.frames()
    assert data_of(rest, 1) == grpc_messages.NOT_GRPC_TEXT[3:]
    assert "END_STREAM" in rest[-1].flags


# Windows.


def test_the_window_of_a_stream_ends_before_its_message() -> None:
    sending = wide()
    sending.announce(INITIAL_WINDOW_SIZE, 20_000)
    stream = sending.open()
    stream.send(bytes(30_000))
    assert sending.sizes() == [(1, 16_384), (1, 3616)]
    assert stream.send_window == 0
    assert list(sending.sender.blocked) == [1]
    sending.sender.window_opened(1, stream)
    assert sending.sizes() == [(1, 1)]
    sending.sender.window_opened(30_000, stream)
    assert sending.sizes() == [(1, 10_004)]
    assert stream.send_window == 30_000 - 10_004
    assert not sending.sender.blocked
    assert not stream.unsent


def test_the_window_of_the_connection_ends_before_a_message() -> None:
    sending = wide()
    sending.sender.window_opened(20_000 - PLENTY, None)
    first, second = sending.open(1), sending.open(3)
    first.send(bytes(30_000))
    second.send(b"abc")
    assert sending.sizes() == [(1, 16_384), (1, 3616)]
    assert list(sending.sender.blocked) == [1, 3]
    sending.sender.window_opened(10_004, None)
    assert sending.sizes() == [(1, 10_004)]
    sending.sender.window_opened(1, None)
    assert sending.sizes() == [(3, 1)]
    sending.sender.window_opened(100, None)
    assert sending.sizes() == [(1, 1), (3, 7)]
    assert not sending.sender.blocked
    assert sending.sender.window == 20_000 + 10_004 + 1 + 100 - 30_005 - 8


@pytest.mark.parametrize("whose", ["stream", "connection"])
@pytest.mark.parametrize(
    ("window", "sizes"), [(0, []), (1, [1]), (4, [4]), (7, [7]), (8, [8]), (9, [8])]
)
def test_a_small_message_may_be_cut_anywhere(whose: str, window: int, sizes: list[int]) -> None:
    sending = Sending()
    stream = sending.open()
    one = stream if whose == "stream" else None
    sending.sender.window_opened(window - WINDOW, one)
    stream.send(b"abc")
    first = sending.frames()
    assert type(first[0]) is HeadersFrame  # which no window holds back
    assert [len(frame.data) for frame in first[1:]] == sizes
    sending.sender.window_opened(10, one)
    assert data_of(first, 1) + data_of(sending.frames(), 1) == framed(b"abc")


def test_a_later_message_does_not_overtake() -> None:
    sending = Sending()
    stream = sending.open()
    sending.sender.window_opened(10 - WINDOW, stream)
    stream.send(b"a long message")
    stream.send(b"b")
    sent = data_of(sending.frames(), 1)
    sending.sender.window_opened(11, stream)
    stream.send(b"c")
    sent += data_of(sending.frames(), 1)
    assert len(sent) == 21
    sending.sender.window_opened(1000, stream)
    sent += data_of(sending.frames(), 1)
    assert messages_of(sent) == [b"a long message", b"b", b"c"]


def test_trailers_wait_for_all_the_data() -> None:
    sending = Sending()
    stream = sending.open()
    sending.sender.window_opened(10 - WINDOW, stream)
    stream.send(b"0123456789")
    stream.finish(Status.OK, "done")
    assert statuses(sending.frames(), 1) == []
    sending.sender.window_opened(4, stream)
    assert [type(one) for one in sending.frames()] == [DataFrame]
    assert not stream.trailers_sent
    sending.sender.window_opened(1, stream)
    sent = sending.frames()
    assert [type(one) for one in sent] == [DataFrame, HeadersFrame]
    assert statuses(sent, 1) == ["0"]
    assert stream.trailers_sent
    assert sending.finished == [1]


def test_trailers_need_no_window() -> None:
    sending = Sending()
    stream = sending.open()
    stream.send(b"x")
    sending.sender.window_opened(-WINDOW, stream)
    sending.sender.window_opened(-WINDOW, None)
    stream.finish()
    assert statuses(sending.frames(), 1) == ["0"]


def test_a_smaller_initial_window_may_leave_less_than_nothing() -> None:
    """RFC 9113 section 6.9.2."""
    sending = Sending()
    stream = sending.open()
    stream.send(bytes(60_000 - 5))
    assert stream.send_window == 5535
    sending.announce(INITIAL_WINDOW_SIZE, 100)
    assert stream.send_window == 100 - 60_000
    assert sending.open(3).send_window == 100
    sending.frames()
    stream.send(b"waits")
    assert sending.sizes() == []
    sending.sender.window_opened(59_900, stream)
    assert (sending.sizes(), stream.send_window) == ([], 0)
    sending.sender.window_opened(3, stream)
    assert sending.sizes() == [(1, 3)]
    sending.announce(INITIAL_WINDOW_SIZE, 1000)
    assert sending.sizes() == [(1, 7)]
    assert stream.send_window == 893


def test_a_larger_initial_window_lets_streams_go_on() -> None:
    sending = Sending()
    sending.announce(INITIAL_WINDOW_SIZE, 0)
    for stream_id in (1, 3, 5):
        sending.open(stream_id).send(b"abc")
    assert sending.sizes() == []
    sending.announce(INITIAL_WINDOW_SIZE, 6)
    assert sending.sizes() == [(1, 6), (3, 6), (5, 6)]
    sending.announce(INITIAL_WINDOW_SIZE, 100)
    assert sending.sizes() == [(1, 2), (3, 2), (5, 2)]


@pytest.mark.parametrize("over", [False, True])
def test_a_window_may_not_grow_over_its_maximum(over: bool) -> None:
    sending = Sending()
    stream = sending.open(9)
    for one, fault in ((stream, StreamFault), (None, ConnectionFault)):
        if not over:
            sending.sender.window_opened(MAX_WINDOW - WINDOW, one)
            continue
        with pytest.raises(fault) as caught:
            sending.sender.window_opened(MAX_WINDOW - WINDOW + 1, one)
        assert caught.value.code is ErrorCode.FLOW_CONTROL_ERROR
        if isinstance(caught.value, StreamFault):
            assert caught.value.stream_id == 9
    if not over:
        assert stream.send_window == sending.sender.window == MAX_WINDOW


def test_what_was_sent_makes_room_in_the_window() -> None:
    sending = Sending()
    stream = sending.open()
    stream.send(bytes(95))
    sending.sender.window_opened(MAX_WINDOW - WINDOW + 100, stream)
    sending.sender.window_opened(MAX_WINDOW - WINDOW + 100, None)
    with pytest.raises(StreamFault):
        sending.sender.window_opened(1, stream)
    with pytest.raises(ConnectionFault):
        sending.sender.window_opened(1, None)


# Turns.


def test_blocked_streams_take_turns() -> None:
    sending = wide()
    sending.sender.window_opened(-PLENTY, None)
    for stream_id in (1, 3, 5):
        sending.open(stream_id).send(bytes(2000 - 5))
    sizes = []
    for _ in range(6):
        sending.sender.window_opened(1000, None)
        sizes += sending.sizes()
    assert sizes == [(1, 1000), (3, 1000), (5, 1000)] * 2
    assert not sending.sender.blocked


def test_who_has_more_to_send_waits_no_less() -> None:
    sending = wide()
    sending.sender.window_opened(-PLENTY, None)
    sending.open(1).send(bytes(1 << 20))
    sending.open(3).send(bytes(95))
    sending.open(5).send(bytes(95))
    sending.sender.window_opened(50, None)
    assert sending.sizes() == [(1, 50)]
    sending.sender.window_opened(150, None)
    assert sending.sizes() == [(3, 100), (5, 50)]
    sending.sender.window_opened(60, None)
    assert sending.sizes() == [(1, 60)]
    sending.sender.window_opened(60, None)
    assert sending.sizes() == [(5, 50), (1, 10)]


def test_more_of_the_same_stream_does_not_change_its_turn() -> None:
    sending = wide()
    sending.sender.window_opened(-PLENTY, None)
    first, second = sending.open(1), sending.open(3)
    first.send(bytes(5))
    second.send(bytes(5))
    first.send(bytes(5))
    sending.sender.window_opened(20, None)
    assert sending.sizes() == [(1, 20)]
    sending.sender.window_opened(10, None)
    assert sending.sizes() == [(3, 10)]


def test_a_stream_without_a_window_does_not_hold_the_others_up() -> None:
    sending = Sending()
    first, second = sending.open(1), sending.open(3)
    sending.sender.window_opened(-WINDOW, first)
    first.send(b"abc")
    second.send(b"abc")
    assert sending.sizes() == [(3, 8)]
    sending.sender.window_opened(-sending.sender.window, None)
    second.send(b"more")
    sending.sender.window_opened(100, None)
    assert sending.sizes() == [(3, 9)]
    assert list(sending.sender.blocked) == [1]


# A socket that takes nothing.


def test_messages_wait_while_paused() -> None:
    sending = Sending()
    first, second = sending.open(1), sending.open(3)
    first.send(b"before")
    sending.frames()
    sending.sender.paused = True
    first.send(b"a")
    second.send(b"b" * 5000)
    first.finish()
    sending.sender.window_opened(10, first)
    sending.sender.window_opened(10, None)
    assert [(type(one), one.stream_id) for one in sending.frames()] == [(HeadersFrame, 3)]
    assert list(sending.sender.blocked) == [1, 3]
    sending.sender.resume()
    sent = sending.frames()
    assert [one.stream_id for one in sent] == [1, 1, 3]
    assert statuses(sent, 1) == ["0"]
    assert data_of(sent, 3) == framed(b"b" * 5000)
    assert not sending.sender.blocked


def test_what_is_collected_while_paused_is_counted() -> None:
    sending = Sending()
    sending.sender.control(frames.ping_ack(bytes(8)))
    assert sending.sender.paused_bytes == 0
    sending.sender.paused = True
    sending.sender.control(frames.ping_ack(bytes(8)))
    sending.sender.control(frames.SETTINGS_ACK)
    assert sending.sender.paused_bytes == 17 + 9
    sending.open().send(bytes(1000))
    headers = 9 + len(grpc_messages.RESPONSE_HEADERS)
    assert sending.sender.paused_bytes == 17 + 9 + headers  # not the message, which waits
    sending.sender.resume()
    assert sending.sender.paused_bytes == 0


def test_control_frames_stay_in_their_place() -> None:
    sending = Sending()
    stream = sending.open()
    stream.send(b"a")
    sending.sender.control(frames.SETTINGS_ACK)
    stream.send(b"b")
    kinds = [type(one).__name__ for one in sending.frames()]
    assert kinds == ["HeadersFrame", "DataFrame", "SettingsFrame", "DataFrame"]


# What it tells and counts.


def test_it_wakes_once_for_all_that_is_to_be_taken() -> None:
    sending = Sending()
    stream = sending.open()
    assert sending.wakes == 0
    stream.send(b"a")
    stream.send(bytes(10_000))
    sending.sender.control(frames.SETTINGS_ACK)
    assert sending.wakes == 1
    sending.sender.take()
    stream.finish()
    assert sending.wakes == 2
    sending.sender.take()
    sending.sender.window_opened(1, stream)
    assert sending.wakes == 2


def test_it_tells_of_streams_that_move() -> None:
    sending = Sending()
    first, second = sending.open(1), sending.open(3)
    first.send(b"at once")
    sending.sender.window_opened(-sending.sender.window, None)
    first.send(b"a")
    second.send(b"b")
    sending.drained.clear()
    sending.sender.window_opened(3, None)
    assert sending.drained == [1]
    sending.sender.window_opened(100, None)
    assert sending.drained == [1, 3, 1]


def test_messages_are_counted_until_they_are_sent() -> None:
    sending = Sending()
    sending.announce(INITIAL_WINDOW_SIZE, 0)
    first, second = sending.open(1), sending.open(3)
    for _ in range(10):
        first.send(b"")
        second.send(bytes(1000))
    assert first.unsent_bytes == 10 * (PIECE_OVERHEAD + 5)
    assert second.unsent_bytes == 10 * (2 * PIECE_OVERHEAD + 1005)
    assert sending.sender.unsent_bytes == first.unsent_bytes + second.unsent_bytes
    sending.sender.window_opened(50, first)
    assert first.unsent_bytes == 0
    assert sending.sender.unsent_bytes == second.unsent_bytes
    sending.sender.window_opened(5000, second)
    assert second.unsent_bytes == sending.sender.unsent_bytes
    assert 5000 < second.unsent_bytes < 10 * (2 * PIECE_OVERHEAD + 1005)
    sending.sender.window_opened(5050, second)
    assert second.unsent_bytes == sending.sender.unsent_bytes == 0


def test_what_is_sent_counts_no_more_even_if_a_message_is_always_left() -> None:
    sending = Sending()
    sending.announce(INITIAL_WINDOW_SIZE, 0)
    stream = sending.open()
    stream.send(b"x")
    for _ in range(5000):
        stream.send(b"x")
        sending.sender.window_opened(6, stream)
    assert stream.unsent_bytes == sending.sender.unsent_bytes == 2 * PIECE_OVERHEAD + 6


@pytest.mark.parametrize("size", [0, 1, 100, 10_000])
def test_messages_take_no_more_memory_than_is_counted(size: int) -> None:
    sending = Sending()
    sending.announce(INITIAL_WINDOW_SIZE, 0)
    stream = sending.open()
    for _ in range(10):
        stream.send(bytes(size))
    pointer = 8
    held = sum(sys.getsizeof(piece) + pointer for piece in stream.unsent) + 10 * size
    assert held <= stream.unsent_bytes


def test_nothing_of_what_is_sent_at_once_is_counted() -> None:
    sending = wide()
    stream = sending.open()
    for size in (0, 1, 5000, 100_000):
        stream.send(bytes(size))
        assert (stream.unsent_bytes, sending.sender.unsent_bytes) == (0, 0)


def test_a_reset_forgets_what_was_to_be_sent() -> None:
    sending = Sending()
    sending.announce(INITIAL_WINDOW_SIZE, 0)
    first, second = sending.open(1), sending.open(3)
    first.send(b"abc")
    second.send(b"abc")
    first.finish()
    sending.frames()
    sending.sender.reset(first)
    assert (first.unsent_bytes, len(first.unsent)) == (0, 0)
    assert list(sending.sender.blocked) == [3]
    assert sending.sender.unsent_bytes == second.unsent_bytes > 0
    sending.sender.window_opened(100, first)
    sending.sender.window_opened(100, None)
    assert sending.frames() == []
    sending.sender.reset(first)  # once more is no matter
    assert sending.sender.unsent_bytes == second.unsent_bytes


# Whatever happens.


@dataclass
class Seen:
    """One answer as the peer sees it."""

    window: int
    written: bytes = b""  # what it should come to
    data: bytes = b""
    sections: int = 0
    ended: bool = False
    status: str | None = None  # that it should end with
    reset: bool = False


@dataclass
class Peer:
    """Checks every frame against windows and frame size of its own."""

    sending: Sending = field(default_factory=Sending)
    window: int = WINDOW
    initial: int = WINDOW
    most: int = 16_384
    calls: dict[int, Seen] = field(default_factory=dict)
    data_frames: int = 0

    def read(self) -> None:
        for one in self.sending.frames():
            seen = self.calls[one.stream_id]
            assert not seen.ended, "a frame after the end"
            assert not seen.reset, "a frame after the reset"
            seen.ended = "END_STREAM" in one.flags
            if isinstance(one, DataFrame):
                assert seen.sections == 1
                assert not seen.ended
                self._data(seen, one.data)
                continue
            seen.sections += 1
            assert isinstance(one, HeadersFrame)
            assert seen.ended or seen.sections == 1
            if seen.ended:
                assert seen.data == seen.written, "an end before all the data"
                assert statuses([one], one.stream_id) == [seen.status]

    def _data(self, seen: Seen, data: bytes) -> None:
        assert not self.sending.sender.paused, "data while paused"
        assert 0 < len(data) <= min(self.window, seen.window, self.most)
        self.window -= len(data)
        seen.window -= len(data)
        seen.data += data
        self.data_frames += 1
        assert seen.written.startswith(seen.data)

    def do(self, name: str, at: int, size: int) -> None:
        stream_id = 2 * at + 1
        if stream_id not in self.calls:
            self.calls[stream_id] = Seen(self.initial)
            self.sending.open(stream_id)
        seen, stream = self.calls[stream_id], self.sending.streams[stream_id]
        if name in ("message", "finish", "reset"):
            self._say(name, seen, stream, size)
        elif name in ("stream window", "connection window", "initial window"):
            self._open_window(name, seen, stream, size)
        elif name == "frame size":
            self.most = 16_384 + size
            self.sending.announce(MAX_FRAME_SIZE, self.most)
        elif name == "pause":
            self.sending.sender.paused = True
        else:
            self.sending.sender.resume()

    def _say(self, name: str, seen: Seen, stream: CallStream, size: int) -> None:
        """Of the call."""
        over = seen.reset or seen.status is not None
        if name == "message":
            message = bytes((stream.id,)) * size
            seen.written += b"" if over else framed(message)
            stream.send(message)
        elif name == "finish":
            status = Status.INTERNAL if size % 2 else Status.OK
            seen.status = seen.status if over else str(int(status))
            stream.finish(status)
        else:
            seen.reset = True
            self.sending.sender.reset(stream)

    def _open_window(self, name: str, seen: Seen, stream: CallStream, size: int) -> None:
        if name == "stream window":
            seen.window += size
            self.sending.sender.window_opened(size, stream)
        elif name == "connection window":
            self.window += size
            self.sending.sender.window_opened(size, None)
        else:
            for one in self.calls.values():
                one.window += size - self.initial
            self.initial = size
            self.sending.announce(INITIAL_WINDOW_SIZE, size)

    def check(self) -> None:
        sender, streams = self.sending.sender, self.sending.streams
        assert sender.window == self.window
        assert sender.frames_sent == self.data_frames
        assert sender.unsent_bytes == sum(one.unsent_bytes for one in streams.values())
        assert {*sender.blocked} == {one.id for one in streams.values() if one.unsent}
        for stream_id, seen in self.calls.items():
            stream = streams[stream_id]
            assert stream.send_window == seen.window
            missing = 0 if seen.reset else len(seen.written) - len(seen.data)
            assert sum(map(len, stream.unsent)) == missing
            assert stream.unsent_bytes >= missing
            assert bool(stream.unsent_bytes) == bool(missing)
            if missing and not sender.paused:
                assert min(self.window, seen.window) <= 0, "held back without a need"
            if not missing and not seen.reset:
                assert seen.ended == (seen.status is not None)


NAMES = st.sampled_from(
    [
        *["message"] * 6,
        *["stream window", "connection window"] * 2,
        "finish",
        "reset",
        "initial window",
        "frame size",
        "pause",
        "resume",
    ]
)
SIZES = st.one_of(
    st.integers(0, 20),
    st.sampled_from([4090, 4091, 4092, 16_379, 16_380, 65_530, 65_531]),
    st.integers(0, 80_000),
)


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, st.integers(0, 3), SIZES), max_size=40))
def test_any_peer_gets_all_answers_in_order_and_within_its_windows(
    steps: list[tuple[str, int, int]],
) -> None:
    peer = Peer()
    for step in steps:
        peer.do(*step)
        peer.read()
        peer.check()
    peer.do("resume", 0, 0)
    peer.do("connection window", 0, 1 << 26)
    for at in range(4):
        peer.do("stream window", at, 1 << 26)
        peer.do("finish", at, 0)
    peer.read()
    peer.check()
    for seen in peer.calls.values():
        assert seen.reset or (seen.ended and seen.data == seen.written)
    assert peer.sending.sender.unsent_bytes == 0


@given(st.lists(st.integers(1, 3000), min_size=2, max_size=5), st.integers(1, 3000))
def test_nobody_waits_longer_than_a_round(sizes: list[int], window: int) -> None:
    sending = wide()
    sending.sender.window_opened(-PLENTY, None)
    ids = range(1, 2 * len(sizes), 2)
    for stream_id, size in zip(ids, sizes, strict=True):
        sending.open(stream_id).send(bytes(size))
    for _ in ids:
        sending.sender.window_opened(window, None)
    assert {stream_id for stream_id, _ in sending.sizes()} == {*ids}


def test_frames_of_other_streams_may_come_between() -> None:
    sending = Sending()
    first, second = sending.open(1), sending.open(3)
    first.send(b"a")
    second.send(b"b")
    first.send(b"c")
    second.finish()
    first.finish()
    sent = sending.frames()
    assert messages_of(data_of(sent, 1)) == [b"a", b"c"]
    assert messages_of(data_of(sent, 3)) == [b"b"]
    assert [len(of_stream(sent, one)) for one in (1, 3)] == [4, 3]
    assert sending.finished == [3, 1]
