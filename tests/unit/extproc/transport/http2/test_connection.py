from __future__ import annotations

import struct

import pytest
from h2.errors import ErrorCodes
from hpack import Encoder
from hyperframe.frame import (
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from epp.extproc.transport.http2.settings import Limits
from epp.extproc.transport.interfaces import Metadata, Status, Stream
from tests.helpers.http2 import (
    ACK,
    CALL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HAS_PRIORITY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PADDED,
    PING,
    PREFACE,
    SETTINGS,
    Client,
    EchoSession,
    RawPeer,
    Served,
    SilentSession,
    block,
    data,
    data_of,
    field_sections,
    frame,
    framed,
    goaways,
    headers,
    messages_of,
    of_stream,
    request,
    resets,
    rst_stream,
    settings_frame,
    started,
    statuses,
    window_update,
)

PING_FRAME = frame(PING, 0, 0, b"12345678")


class BrokenSession(SilentSession):
    """Fails on messages and ends that say so."""

    def received(self, message: bytes) -> None:
        super().received(message)
        if message == b"fail":
            raise ZeroDivisionError("planted")
        self.stream.send(message)

    def half_closed(self) -> None:
        super().half_closed()
        raise ZeroDivisionError("planted")


def test_our_settings_come_first_and_theirs_are_acknowledged() -> None:
    peer = RawPeer(limits=Limits(max_concurrent_streams=77))
    [ours, window] = peer.frames()
    assert isinstance(ours, SettingsFrame)
    assert ours.settings[SettingsFrame.MAX_CONCURRENT_STREAMS] == 77
    assert isinstance(window, WindowUpdateFrame)
    [acknowledgement] = peer.send(PREFACE, settings_frame({INITIAL_WINDOW_SIZE: 5}))
    assert isinstance(acknowledgement, SettingsFrame)
    assert set(acknowledgement.flags) == {"ACK"}
    assert peer.send(frame(SETTINGS, ACK, 0)) == []


def test_a_preface_may_come_byte_by_byte_and_a_wrong_one_is_seen_at_once() -> None:
    peer = RawPeer()
    for byte in PREFACE + settings_frame({}):
        peer.receive(bytes((byte,)))
    assert peer.connection.ready
    wrong = RawPeer()
    assert goaways(wrong.send(b"GET / ")) == [ErrorCodes.PROTOCOL_ERROR]
    assert wrong.connection.closing


def test_the_first_frame_must_be_settings() -> None:
    assert goaways(RawPeer().send(PREFACE, PING_FRAME)) == [ErrorCodes.PROTOCOL_ERROR]


def test_a_ping_is_answered_with_its_payload() -> None:
    [answer] = started().send(PING_FRAME)
    assert isinstance(answer, PingFrame)
    assert (set(answer.flags), answer.opaque_data) == ({"ACK"}, b"12345678")


def opened(stream_id: int, encoder: Encoder, key: str) -> bytes:
    """Only the key is in the dynamic table."""
    section = encoder.encode([*[(name, value, True) for name, value in CALL], ("x-key", key)])
    return frame(HEADERS, END_HEADERS, stream_id, section)


def test_a_section_of_the_same_bytes_is_read_anew_when_the_table_has_changed() -> None:
    peer, encoder = started(), Encoder()
    peer.send(opened(1, encoder, "a"))
    second, third = opened(3, encoder, "a"), opened(5, encoder, "a")
    assert second[9:] == third[9:]
    peer.send(second)
    peer.send(third)
    assert peer.sessions[2].metadata is peer.sessions[1].metadata
    assert peer.sessions[2].metadata == peer.sessions[0].metadata
    peer.send(opened(7, encoder, "b"))  # takes the first place of the table, where "a" was
    peer.send(frame(HEADERS, END_HEADERS, 9, second[9:]))
    peer.send(frame(HEADERS, END_HEADERS, 11, second[9:]))
    keys = [session.metadata["x-key"] for session in peer.sessions]
    assert keys == ["a", "a", "a", "b", "b", "b"]


def test_metadata_reach_the_session() -> None:
    peer = started()
    peer.send(headers(1, ("x-key", "value")))
    assert peer.sessions[0].metadata["x-key"] == "value"


def test_an_unknown_method_is_answered_with_trailers_only() -> None:
    peer = started()
    fields = [*CALL[:2], (":path", "/test.Echo/No"), *CALL[3:]]
    frames = peer.send(request(1, fields, ends=True))
    [trailers] = field_sections(frames, 1)
    assert (trailers[":status"], trailers["grpc-status"]) == ("200", "12")
    assert "/test.Echo/No" in trailers["grpc-message"]
    assert set(frames[0].flags) == {"END_HEADERS", "END_STREAM"}
    assert len(frames) == 1
    assert not peer.connection.calls.streams


@pytest.mark.parametrize(
    "fields",
    [
        [*CALL[:4], ("content-type", "application/json")],
        [(":method", "GET"), *CALL[1:]],
        [*CALL[:4], ("content-type", "application/grpcx")],
    ],
)
def test_what_is_not_grpc_is_told_so_at_its_end(fields: list[tuple[str, str]]) -> None:
    peer = started()
    assert peer.send(request(1, fields)) == []
    frames = peer.send(data(1, b"{}", ends=True))
    [answer] = field_sections(frames, 1)
    assert answer[":status"] == "415"
    assert int(answer["content-length"]) == len(data_of(frames, 1))
    assert "END_STREAM" in frames[-1].flags
    assert not peer.connection.calls.streams
    assert not peer.sessions


def test_what_is_not_grpc_and_does_not_end_is_told_so_later() -> None:
    peer = started()
    peer.send(request(1, [*CALL[:4], ("content-type", "text/plain")]))
    peer.connection.calls.expire(11.0)
    frames = peer.frames()
    assert [section[":status"] for section in field_sections(frames, 1)] == ["415"]
    assert resets(frames) == [(1, ErrorCodes.NO_ERROR)]
    assert not peer.connection.calls.streams


def test_an_encoding_that_is_not_known_is_unimplemented() -> None:
    peer = started()
    [trailers] = field_sections(peer.send(headers(1, ("grpc-encoding", "snappy"), ends=True)), 1)
    assert trailers["grpc-status"] == "12"
    assert "gzip" in trailers["grpc-accept-encoding"]
    assert not peer.sessions


def test_the_text_of_a_status_fits_a_frame() -> None:
    client = Client(Served())
    call = client.open(("grpc-encoding", "e" * 20_000))
    client.write(call, 1)
    client.settle()
    assert call.trailers is not None
    assert call.trailers["grpc-status"] == "12"


def test_trailers_of_the_client_end_its_side() -> None:
    peer = started()
    frames = peer.send(
        headers(1),
        data(1, framed(b"hello")),
        request(1, [("x-sum", "1")], ends=True),
    )
    assert messages_of(data_of(frames, 1)) == [b"hello"]
    assert statuses(frames, 1) == ["0"]
    assert peer.sessions[0].half_closed_count == 1
    assert peer.all_closed


def test_trailers_that_do_not_end_reset_the_stream() -> None:
    peer = started()
    frames = peer.send(headers(1), request(1, [("x-sum", "1")]))
    assert resets(frames) == [(1, ErrorCodes.PROTOCOL_ERROR)]
    assert peer.all_closed


def test_after_the_half_close_a_session_goes_on_until_it_finishes() -> None:
    peer = started(SilentSession)
    assert peer.send(headers(1), data(1, framed(b"ask"), ends=True)) == []
    [session] = peer.sessions
    assert (session.messages, session.half_closed_count) == ([b"ask"], 1)
    assert not session.closed_count
    wakes = peer.wakes
    session.stream.send(b"late")
    session.stream.finish()
    assert peer.wakes > wakes
    frames = peer.frames()
    assert messages_of(data_of(frames, 1)) == [b"late"]
    assert statuses(frames, 1) == ["0"]
    assert resets(frames) == []
    assert peer.all_closed
    session.stream.send(b"too late")
    session.stream.finish()
    assert peer.frames() == []


def test_finishing_before_the_peer_ends_sends_trailers_and_then_a_reset() -> None:
    peer = started(SilentSession)
    peer.send(headers(1), data(1, framed(b"ask")))
    peer.sessions[0].stream.send(b"answer")
    peer.sessions[0].stream.finish(Status.NOT_FOUND, "nothing there")
    frames = peer.frames()
    assert statuses(frames, 1) == ["5"]
    assert field_sections(frames, 1)[-1]["grpc-message"] == "nothing there"
    assert resets(frames) == [(1, ErrorCodes.NO_ERROR)]
    assert peer.all_closed
    assert not peer.connection.calls.streams


def test_what_comes_late_after_our_reset_is_ignored() -> None:
    peer = started(SilentSession)
    peer.send(headers(1), headers(3))
    peer.sessions[0].stream.finish()
    peer.frames()
    late = (data(1, framed(b"late")), data(1, b"x" * 10), request(1, [("x-sum", "1")], ends=True))
    assert peer.send(*late, window_update(1, 5), rst_stream(1)) == []
    assert not peer.connection.closing
    assert peer.sessions[0].messages == []
    peer.send(data(3, framed(b"alive")))
    assert peer.sessions[1].messages == [b"alive"]


@pytest.mark.parametrize(
    "padding",
    [
        0,
        pytest.param(
            PADDED,
        ),
    ],
)
def test_data_after_the_end_resets_the_stream_and_what_follows_is_read(padding: int) -> None:
    peer = started(SilentSession)
    peer.send(headers(1, ends=True))
    late = frame(DATA, padding, 1, bytes(17))
    frames = peer.send(late, PING_FRAME, PING_FRAME)
    assert resets(frames) == [(1, ErrorCodes.STREAM_CLOSED)]
    assert sum(isinstance(one, PingFrame) for one in frames) == 2
    assert peer.all_closed


def test_a_call_ends_at_its_deadline() -> None:
    peer = started(SilentSession)
    peer.send(headers(1, ("grpc-timeout", "1500m")), headers(3))
    peer.connection.calls.expire(1.4)
    assert peer.frames() == []
    peer.connection.calls.expire(1.5)
    frames = peer.frames()
    assert statuses(frames, 1) == ["4"]
    assert [session.closed_count for session in peer.sessions] == [1, 0]
    assert list(peer.connection.calls.streams) == [3]


def test_after_the_announced_end_streams_are_served_until_new_ones_are_refused() -> None:
    peer = started()
    peer.send(headers(1))
    peer.connection.announce_end()
    [announced] = peer.frames()
    assert isinstance(announced, GoAwayFrame)
    assert announced.last_stream_id == (1 << 31) - 1
    assert announced.error_code == ErrorCodes.NO_ERROR
    assert resets(peer.send(headers(3))) == []
    peer.connection.refuse_new()
    [refusing] = peer.frames()
    assert isinstance(refusing, GoAwayFrame)
    assert refusing.last_stream_id == 3
    assert resets(peer.send(headers(5))) == [(5, ErrorCodes.REFUSED_STREAM)]
    for stream_id in (1, 3):
        frames = peer.send(data(stream_id, framed(b"old"), ends=True))
        assert messages_of(data_of(frames, stream_id)) == [b"old"]
        assert statuses(frames, stream_id) == ["0"]
    assert len(peer.sessions) == 2
    assert peer.all_closed


def test_a_session_that_raises_ends_its_own_call_only(caplog: pytest.LogCaptureFixture) -> None:
    peer = started(BrokenSession)
    frames = peer.send(
        headers(1),
        headers(3),
        data(1, framed(b"good") + framed(b"fail") + framed(b"never")),
        data(3, framed(b"fine")),
    )
    assert statuses(frames, 1) == ["13"]
    assert messages_of(data_of(frames, 1)) == [b"good"]
    assert messages_of(data_of(frames, 3)) == [b"fine"]
    assert [session.closed_count for session in peer.sessions] == [1, 0]
    assert statuses(peer.send(data(3, b"", ends=True)), 3) == ["13"]
    assert peer.all_closed
    assert "planted" in caplog.text


def test_a_session_that_cannot_be_opened_ends_its_own_call_only() -> None:
    def broken(stream: Stream, metadata: Metadata) -> SilentSession:
        if "x-fail" in metadata:
            raise ZeroDivisionError("planted")
        return EchoSession(stream, metadata)

    peer = started(broken)
    frames = peer.send(
        headers(1, ("x-fail", "1"), ends=True), headers(3), data(3, framed(b"fine"), ends=True)
    )
    assert statuses(frames, 1) == ["13"]
    assert statuses(frames, 3) == ["0"]
    assert not peer.connection.calls.streams


def test_a_session_that_raises_when_it_is_closed_does_not_keep_others_open() -> None:
    class Raising(SilentSession):
        def closed(self) -> None:
            super().closed()
            raise ZeroDivisionError("planted")

    peer = started(Raising)
    peer.send(headers(1), headers(3))
    peer.connection.lost()
    assert peer.all_closed


def test_a_call_that_ends_inside_a_message_is_an_error() -> None:
    peer = started()
    frames = peer.send(headers(1), data(1, framed(b"whole") + b"\0\0\0\0\5par", ends=True))
    assert messages_of(data_of(frames, 1)) == [b"whole"]
    assert statuses(frames, 1) == ["13"]
    assert peer.sessions[0].half_closed_count == 0
    assert peer.all_closed


def test_a_body_of_another_length_than_declared_resets_the_stream() -> None:
    peer = started()
    frames = peer.send(headers(1, ("content-length", "9")), data(1, framed(b"abc"), ends=True))
    assert resets(frames) == [(1, ErrorCodes.PROTOCOL_ERROR)]
    assert peer.all_closed


def test_a_session_may_answer_while_it_is_opened() -> None:
    def eager(stream: Stream, metadata: Metadata) -> SilentSession:
        stream.send(b"welcome")
        stream.finish(Status.OK)
        return SilentSession(stream, metadata)

    peer = started(eager)
    frames = peer.send(headers(1), data(1, framed(b"unread")))
    assert messages_of(data_of(frames, 1)) == [b"welcome"]
    assert statuses(frames, 1) == ["0"]
    assert peer.sessions[0].messages == []
    assert peer.all_closed


def test_a_paused_sender_keeps_order_and_loses_nothing() -> None:
    peer = started(SilentSession)
    peer.send(headers(1), headers(3))
    first, second = (session.stream for session in peer.sessions)
    sender = peer.connection.sender
    first.send(b"1")
    sender.paused = True
    first.send(b"2" * 20_000)
    second.send(b"a")
    first.send(b"")
    first.finish()
    paused = peer.frames()
    assert messages_of(data_of(paused, 1)) == [b"1"]
    assert statuses(paused, 1) == []
    sender.resume()
    frames = peer.frames()
    assert messages_of(data_of(frames, 1)) == [b"2" * 20_000, b""]
    assert statuses(frames, 1) == ["0"]
    assert messages_of(data_of(frames, 3)) == [b"a"]
    ends = of_stream(frames, 1)
    last_data = max(at for at, one in enumerate(ends) if isinstance(one, DataFrame))
    assert any(isinstance(one, HeadersFrame) for one in ends[last_data:])
    assert not sender.blocked
    assert [session.closed_count for session in peer.sessions] == [1, 0]


@pytest.mark.parametrize("stream_id", [1, 0])
def test_padding_gives_the_windows_back(stream_id: int) -> None:
    limits = Limits(stream_window_bytes=65_535, connection_window_bytes=70_000)
    peer = started(SilentSession, limits)
    peer.send(headers(1))
    given = 0
    sent = 400
    for _ in range(sent):
        frames = peer.send(frame(DATA, PADDED, 1, bytes((255,)) + bytes(255)))
        updates = [one for one in frames if isinstance(one, WindowUpdateFrame)]
        given += sum(one.window_increment for one in updates if one.stream_id == stream_id)
    assert not peer.connection.closing
    assert given > sent * 256 - 35_001


def test_padded_data_is_read_without_its_padding() -> None:
    peer = started()
    payload = b"\x03" + framed(b"hello") + bytes(3)
    frames = peer.send(headers(1), frame(DATA, PADDED | END_STREAM, 1, payload))
    assert messages_of(data_of(frames, 1)) == [b"hello"]
    assert statuses(frames, 1) == ["0"]
    wrong = started()
    frames = wrong.send(headers(1), frame(DATA, PADDED, 1, b"\x05abc"))
    assert goaways(frames) == [ErrorCodes.PROTOCOL_ERROR]


def test_a_field_section_may_come_in_pieces_but_not_be_interrupted() -> None:
    section = block(CALL)
    opening = frame(HEADERS, END_STREAM, 1, section[:10])
    peer = started()
    frames = peer.send(opening, frame(CONTINUATION, END_HEADERS, 1, section[10:]))
    assert statuses(frames, 1) == ["0"]
    other = started()
    assert goaways(other.send(opening, PING_FRAME)) == [ErrorCodes.PROTOCOL_ERROR]


def test_headers_that_depend_on_themselves_keep_the_table_in_step() -> None:
    peer = started()
    encoder = Encoder()
    itself = struct.pack(">IB", 1, 0)
    flags = END_HEADERS | END_STREAM
    first, second = encoder.encode(list(CALL)), encoder.encode(list(CALL))
    frames = peer.send(
        frame(HEADERS, flags | HAS_PRIORITY, 1, itself + first), frame(HEADERS, flags, 3, second)
    )
    assert resets(frames) == [(1, ErrorCodes.PROTOCOL_ERROR)]
    assert goaways(frames) == []
    assert statuses(frames, 3) == ["0"]


def test_a_reset_of_the_peer_closes_the_session_at_once() -> None:
    peer = started(SilentSession)
    peer.send(headers(1), data(1, framed(b"x")), rst_stream(1))
    assert peer.all_closed
    peer.sessions[0].stream.send(b"nobody listens")
    assert peer.frames() == []
    assert not peer.connection.calls.streams


def test_a_lost_connection_closes_every_session() -> None:
    peer = started(SilentSession)
    peer.send(headers(1), headers(3), headers(5, ends=True))
    peer.connection.lost()
    peer.connection.lost()
    assert peer.all_closed
    assert len(peer.sessions) == 3
    assert peer.send(headers(7)) == []


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(DATA, 0, 0, b"x"), ErrorCodes.PROTOCOL_ERROR),
        (frame(DATA, 0, 9, b"x"), ErrorCodes.PROTOCOL_ERROR),
        (headers(2), ErrorCodes.PROTOCOL_ERROR),
        (headers(0), ErrorCodes.PROTOCOL_ERROR),
        (rst_stream(9), ErrorCodes.PROTOCOL_ERROR),
        (window_update(9, 1), ErrorCodes.PROTOCOL_ERROR),
        (window_update(0, 0), ErrorCodes.PROTOCOL_ERROR),
        (window_update(0, (1 << 31) - 1), ErrorCodes.FLOW_CONTROL_ERROR),
        (frame(CONTINUATION, END_HEADERS, 1, b""), ErrorCodes.PROTOCOL_ERROR),
        (frame(5, END_HEADERS, 1, bytes(4)), ErrorCodes.PROTOCOL_ERROR),
        (frame(PING, 0, 0, b"short"), ErrorCodes.FRAME_SIZE_ERROR),
        (frame(PING, 0, 1, bytes(8)), ErrorCodes.PROTOCOL_ERROR),
        (frame(SETTINGS, 0, 0, b"12345"), ErrorCodes.FRAME_SIZE_ERROR),
        (frame(SETTINGS, 0, 1), ErrorCodes.PROTOCOL_ERROR),
        (settings_frame({INITIAL_WINDOW_SIZE: 1 << 31}), ErrorCodes.FLOW_CONTROL_ERROR),
        (frame(DATA, 0, 1, bytes(16_385)), ErrorCodes.FRAME_SIZE_ERROR),
        (frame(HEADERS, END_HEADERS, 5, b"\xff\xff\xff\x7f"), ErrorCodes.COMPRESSION_ERROR),
    ],
)
def test_what_ends_the_connection(sent: bytes, code: ErrorCodes) -> None:
    peer = started(SilentSession)
    peer.send(headers(1))
    assert goaways(peer.send(sent)) == [code]
    assert peer.connection.closing
    assert peer.all_closed
