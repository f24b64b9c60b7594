"""What a hostile peer tries, and that busy but honest ones are left alone."""

from __future__ import annotations

import gzip
import struct
import tracemalloc

import pytest
from h2.errors import ErrorCodes
from hpack import Encoder
from hyperframe.frame import WindowUpdateFrame

from epp.extproc.transport.http2.faults import ErrorCode
from epp.extproc.transport.http2.settings import Limits
from tests.helpers.http2 import (
    CALL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PADDED,
    PING,
    PRIORITY,
    RawPeer,
    SilentSession,
    block,
    data,
    data_of,
    frame,
    framed,
    goaways,
    headers,
    messages_of,
    request,
    resets,
    rst_stream,
    settings_frame,
    started,
    statuses,
    window_update,
)

CALM = [ErrorCodes.ENHANCE_YOUR_CALM]
SMALL = Limits(control_burst=100, control_per_second=10)
CALL_BLOCK = block(CALL)
PING_FRAME = frame(PING, 0, 0, bytes(8))


def opening(stream_id: int, ends: bool = False) -> bytes:
    return frame(HEADERS, END_HEADERS | ends, stream_id, CALL_BLOCK)


def flood(peer: RawPeer, one: bytes, count: int) -> list[int]:
    """The codes of GOAWAY."""
    return goaways(peer.send(one * count))


def test_rapid_reset_ends_the_connection() -> None:
    peer = started(SilentSession)
    codes: list[int] = []
    for stream_id in range(1, 100_000, 2):
        codes += goaways(peer.send(opening(stream_id), rst_stream(stream_id)))
    assert codes == CALM
    assert peer.connection.closing
    assert len(peer.sessions) <= Limits().control_burst + 1
    assert peer.all_closed


def test_a_gateway_that_resets_after_the_answer_goes_on_for_ever() -> None:
    peer = started(limits=SMALL)
    for stream_id in range(1, 10_000, 2):
        frames = peer.send(opening(stream_id), data(stream_id, framed(b"x")))
        assert data_of(frames, stream_id) == framed(b"x")
        assert peer.send(rst_stream(stream_id)) == []
    assert not peer.connection.closing
    assert not peer.connection.calls.streams
    assert peer.all_closed


@pytest.mark.parametrize("fragment", [b"", b"\x10" * 16_000])
def test_a_flood_of_continuations_ends_the_connection(fragment: bytes) -> None:
    peer = started()
    peer.send(frame(HEADERS, 0, 1, b""))
    assert flood(peer, frame(CONTINUATION, 0, 1, fragment), 20) == CALM
    assert not peer.sessions


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(settings_frame({}), id="settings"),
        pytest.param(PING_FRAME, id="ping"),
        pytest.param(frame(DATA, 0, 1), id="empty data"),
        pytest.param(frame(PRIORITY, 0, 1, struct.pack(">IB", 3, 9)), id="priority"),
        pytest.param(frame(99, 0, 1, b"unknown"), id="unknown"),
        pytest.param(window_update(0, 1), id="window update"),
        pytest.param(window_update(1, 1), id="window update of a stream"),
        pytest.param(frame(7, 0, 0, bytes(8)), id="goaway"),
        pytest.param(
            frame(DATA, PADDED, 1, b"\0"),
            id="padded empty data",
        ),
    ],
)
def test_a_flood_ends_the_connection(one: bytes) -> None:
    peer = started(SilentSession)
    peer.send(opening(1))
    assert flood(peer, one, Limits().control_burst - 10) == []
    assert flood(peer, one, 100) == CALM
    assert peer.connection.closing
    assert peer.all_closed


def test_time_refills_the_allowance() -> None:
    peer = started(limits=SMALL)
    assert flood(peer, PING_FRAME, 90) == []
    peer.now = 5.0
    assert flood(peer, PING_FRAME, 50) == []
    peer.now = 1000.0
    assert flood(peer, PING_FRAME, 99) == []  # not more than the burst
    assert flood(peer, PING_FRAME, 5) == CALM


def test_messages_earn_a_busy_peer_its_pings() -> None:
    peer = started(limits=SMALL)
    peer.send(opening(1))
    for _ in range(2000):
        peer.send(data(1, framed(b"x")), PING_FRAME, window_update(0, 6))
    assert not peer.connection.closing


def test_who_opens_no_window_is_read_no_further() -> None:
    limits = Limits(
        stream_window_bytes=100_000, connection_window_bytes=1 << 20, max_unsent_bytes=50_000
    )
    peer = started(limits=limits, settings={INITIAL_WINDOW_SIZE: 0})
    peer.send(opening(1), opening(3))
    window, sent = limits.stream_window_bytes, 0
    most_unsent = 0
    piece = framed(bytes(995))
    while window >= len(piece):
        frames = peer.send(data(1, piece))
        window -= len(piece)
        sent += len(piece)
        updates = [one for one in frames if isinstance(one, WindowUpdateFrame)]
        window += sum(one.window_increment for one in updates if one.stream_id == 1)
        most_unsent = max(most_unsent, peer.connection.calls.streams[1].unsent_bytes)
        assert sent < 1 << 20, "the window is given back for ever"
    assert sent <= most_unsent < 2 * sent  # with what each message takes beside its bytes
    assert most_unsent <= limits.max_unsent_bytes + 2 * limits.stream_window_bytes
    peer.connection.calls.reset(1, ErrorCode.CANCEL)
    assert resets(peer.frames()) == [(1, ErrorCodes.CANCEL)]
    assert [session.closed_count for session in peer.sessions] == [1, 0]
    assert not peer.connection.sender.blocked
    frames = peer.send(window_update(3, 100), data(3, framed(b"alive")))
    assert messages_of(data_of(frames, 3)) == [b"alive"]


def test_who_opens_its_window_again_is_read_again() -> None:
    limits = Limits(stream_window_bytes=100_000, max_unsent_bytes=10_000)
    peer = started(limits=limits, settings={INITIAL_WINDOW_SIZE: 0})
    frames = peer.send(opening(1), data(1, framed(bytes(8995)) * 10))
    assert not any(isinstance(one, WindowUpdateFrame) for one in frames)
    frames = peer.send(window_update(0, 100_000), window_update(1, 100_000))
    assert messages_of(data_of(frames, 1)) == [bytes(8995)] * 10
    assert [one.window_increment for one in frames if isinstance(one, WindowUpdateFrame)] == [
        90_000
    ]


def test_who_sends_more_than_the_window_is_reset() -> None:
    limits = Limits(stream_window_bytes=65_535, max_unsent_bytes=10_000)
    peer = started(limits=limits, settings={INITIAL_WINDOW_SIZE: 0})
    peer.send(opening(1), data(1, framed(bytes(21_840)) * 3))
    assert resets(peer.send(data(1, b"x"))) == [(1, ErrorCodes.FLOW_CONTROL_ERROR)]
    assert peer.all_closed


def test_a_huge_field_section_ends_the_connection() -> None:
    peer = started()
    section = block([*CALL, ("x-large", "~" * 40_000)])
    pieces = [section[at : at + 16_384] for at in range(0, len(section), 16_384)]
    sent = [frame(HEADERS, 0, 1, pieces[0])]
    sent += [frame(CONTINUATION, 0, 1, piece) for piece in pieces[1:]]
    assert goaways(peer.send(*sent)) == CALM
    assert not peer.sessions


def test_many_indices_to_a_large_entry_end_the_connection() -> None:
    peer = started(SilentSession)
    encoder = Encoder()
    entry = ("x-bomb", "a" * 3000)
    peer.send(frame(HEADERS, END_HEADERS, 1, encoder.encode([*CALL, entry])))
    [index] = encoder.encode([entry])
    tracemalloc.start()
    bomb = encoder.encode(list(CALL)) + bytes((index,)) * 16_000
    frames = peer.send(frame(HEADERS, END_HEADERS, 3, bomb))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert goaways(frames) == [ErrorCodes.COMPRESSION_ERROR]
    assert peak < 1 << 20
    assert peer.all_closed


@pytest.mark.parametrize("first", [0xFF, 0x7F, 0x3F, 0x1F])
def test_a_number_without_end_ends_the_connection(first: int) -> None:
    peer = started()
    section = bytes((first,)) + b"\xff" * 16_000 + b"\x01"
    assert goaways(peer.send(frame(HEADERS, END_HEADERS, 1, section))) == [
        ErrorCodes.COMPRESSION_ERROR
    ]


def test_one_stream_too_many_is_refused_and_the_others_live_on() -> None:
    peer = started(limits=Limits(max_concurrent_streams=3))
    assert peer.send(opening(1), opening(3), opening(5)) == []
    assert resets(peer.send(opening(7))) == [(7, ErrorCodes.REFUSED_STREAM)]
    assert peer.send(data(7, framed(b"was on its way"))) == []
    assert statuses(peer.send(data(3, framed(b"x"), ends=True)), 3) == ["0"]
    frames = peer.send(opening(9, ends=True))  # there is room again
    assert statuses(frames, 9) == ["0"]
    assert len(peer.sessions) == 4


def test_the_table_stays_in_step_when_a_stream_is_refused() -> None:
    peer = started(limits=Limits(max_concurrent_streams=1))
    encoder = Encoder()
    sections = [encoder.encode([*CALL, ("x-key", "1")]) for _ in range(3)]
    peer.send(*(frame(HEADERS, END_HEADERS, 1 + 2 * at, sections[at]) for at in range(2)))
    peer.send(rst_stream(1))
    frames = peer.send(frame(HEADERS, END_HEADERS | 1, 5, sections[2]))
    assert statuses(frames, 5) == ["0"]
    assert peer.sessions[1].metadata["x-key"] == "1"


def test_a_message_that_is_too_large_is_refused_before_it_comes() -> None:
    peer = started(limits=Limits(max_receive_bytes=100))
    frames = peer.send(opening(1), data(1, framed(bytes(100))))
    assert messages_of(data_of(frames, 1)) == [bytes(100)]
    frames = peer.send(data(1, framed(bytes(101))[:5]))
    assert statuses(frames, 1) == ["8"]
    assert peer.all_closed
    assert not peer.connection.closing


def test_a_gzip_bomb_is_refused() -> None:
    peer = started(limits=Limits(max_receive_bytes=100_000))
    bomb = gzip.compress(bytes(50_000_000), 9)
    assert len(bomb) < 100_000
    peer.send(headers(1, ("grpc-encoding", "gzip")))
    tracemalloc.start()
    frames = peer.send(data(1, framed(bomb, zipped=True), ends=True))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert statuses(frames, 1) == ["8"]
    assert peer.sessions[0].messages == []
    assert peak < 2 << 20
    assert peer.all_closed


def test_what_is_zipped_well_is_read() -> None:
    peer = started()
    sent = framed(gzip.compress(b"hello"), zipped=True) + framed(b"plain")
    frames = peer.send(headers(1, ("grpc-encoding", "gzip")), data(1, sent, ends=True))
    assert messages_of(data_of(frames, 1)) == [b"hello", b"plain"]


def test_a_large_message_in_frames_of_one_byte_keeps_memory_bounded() -> None:
    size = 50_000
    peer = started(SilentSession)
    peer.send(opening(1), data(1, framed(bytes(size))[:5]))
    many = frame(DATA, 0, 1, b"x") * 1000
    tracemalloc.start()
    for _ in range(size // 1000):
        peer.receive(many)
        peer.output()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peer.sessions[0].messages == [b"x" * size]
    assert peak < 5 * size


def test_calls_that_nobody_reads_the_answers_of_are_bounded() -> None:
    peer = started()
    peer.connection.sender.paused = True
    unknown = block([*CALL[:2], (":path", "/no"), *CALL[3:]])
    for stream_id in range(1, 40_001, 2):
        peer.receive(frame(HEADERS, END_HEADERS | 1, stream_id, unknown))
    assert len(peer.output()) < 1 << 20


def test_resets_of_calls_that_had_a_message_but_no_answer_are_bounded() -> None:
    peer = started(SilentSession, SMALL)
    codes: list[int] = []
    for stream_id in range(1, 2001, 2):
        sent = opening(stream_id), data(stream_id, framed(b"")), rst_stream(stream_id)
        codes += goaways(peer.send(*sent))
    assert codes == CALM


@pytest.mark.parametrize(
    "malformed",
    [
        [*CALL, ("Upper", "1")],
        [*CALL, ("connection", "close")],
        [*CALL, ("x-key", "1"), (":late", "1")],
        [*CALL, *CALL],
        list(CALL[1:]),
    ],
)
def test_malformed_requests_reset_their_stream_and_are_counted(
    malformed: list[tuple[str, str]],
) -> None:
    peer = started(limits=SMALL)
    assert resets(peer.send(request(1, malformed))) == [(1, ErrorCodes.PROTOCOL_ERROR)]
    assert not peer.connection.closing
    codes: list[int] = []
    for stream_id in range(3, 303, 2):
        codes += goaways(peer.send(request(stream_id, malformed)))
    assert codes == CALM
    assert not peer.sessions
