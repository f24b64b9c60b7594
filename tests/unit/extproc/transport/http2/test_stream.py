"""One call: what its session hears and says, and when nothing more is heard or said."""

from __future__ import annotations

import random

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import SettingsFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from epp.extproc.transport.http2.faults import ErrorCode
from epp.extproc.transport.http2.grpc_messages import MessageReader
from epp.extproc.transport.http2.sender import Sender
from epp.extproc.transport.http2.stream import CallStream
from epp.extproc.transport.interfaces import Status
from tests.helpers.http2 import (
    INITIAL_WINDOW_SIZE,
    EchoSession,
    RawPeer,
    SilentSession,
    data,
    data_of,
    framed,
    headers,
    messages_of,
    parsed,
    resets,
    rst_stream,
    settings_frame,
    started,
    statuses,
    window_update,
)

MESSAGES = st.lists(st.one_of(st.binary(max_size=9), st.integers(0, 9000).map(bytes)), max_size=8)


def silent(stream: CallStream) -> None:
    """Where nobody needs to know."""


def alone(stream_id: int = 1, receive_window: int = 65_535) -> CallStream:
    sender = Sender(1 << 20, lambda: None, silent, silent)
    return CallStream(
        stream_id,
        sender,
        MessageReader("", 1 << 20),
        receive_window=receive_window,
        send_window=sender.peer.initial_window,
    )


def sender_of(stream: CallStream) -> Sender:
    assert isinstance(stream.outlet, Sender)
    return stream.outlet


def one_call(settings: dict[int, int] | None = None) -> tuple[RawPeer, CallStream, SilentSession]:
    peer = started(SilentSession, settings=settings)
    peer.send(headers(1))
    return peer, peer.connection.calls.streams[1], peer.sessions[0]


def test_a_stream_that_has_just_been_opened() -> None:
    stream = alone(5, 70_000)
    assert (stream.id, stream.is_call, stream.session, stream.deadline) == (5, True, None, None)
    assert (stream.receive_window, stream.uncredited, stream.received_bytes) == (70_000, 0, 0)
    assert (stream.remote_ended, stream.declared_bytes) == (False, None)
    assert (stream.headers_sent, stream.status, stream.trailers_sent) == (False, None, False)
    assert (stream.reset, len(stream.unsent), stream.unsent_bytes) == (False, 0, 0)


@pytest.mark.parametrize("window", [0, 10, 65_535, (1 << 31) - 1])
def test_what_a_stream_may_send_is_what_the_peer_says_when_it_opens(window: int) -> None:
    peer, before, _ = one_call()
    peer.send(settings_frame({INITIAL_WINDOW_SIZE: window}), headers(3))
    assert peer.connection.calls.streams[3].send_window == window
    assert before.send_window == window  # the sender shifts it


# Saying.


@given(MESSAGES)
def test_messages_go_out_in_order_and_the_end_after_them(messages: list[bytes]) -> None:
    stream = alone()
    for message in messages:
        stream.send(message)
    stream.finish()
    sent = parsed(b"".join(sender_of(stream).take()))
    out = messages_of(data_of(sent, 1))
    assert out == messages[: len(out)]
    assert (len(out) == len(messages)) is (statuses(sent, 1) == ["0"])
    sender_of(stream).window_opened(1 << 20, None)
    sender_of(stream).window_opened(1 << 20, stream)
    sent += parsed(b"".join(sender_of(stream).take()))
    assert messages_of(data_of(sent, 1)) == messages
    assert statuses(sent, 1) == ["0"]
    assert sum("END_STREAM" in one.flags for one in sent) == 1


def test_a_stream_ends_well_unless_it_says_so() -> None:
    stream = alone()
    stream.finish()
    assert stream.status == (Status.OK, "")
    other = alone()
    other.finish(Status.INTERNAL, "why")
    assert other.status == (Status.INTERNAL, "why")


def test_after_the_end_nothing_is_said() -> None:
    stream = alone()
    stream.send(b"a")
    stream.finish(Status.NOT_FOUND, "first")
    sent = sender_of(stream).take()
    stream.send(b"b")
    stream.finish(Status.INTERNAL, "second")
    assert sender_of(stream).take() == []
    assert statuses(parsed(b"".join(sent)), 1) == ["5"]
    assert stream.status == (Status.NOT_FOUND, "first")


def test_after_the_end_nothing_is_said_even_if_it_could_not_go_out_yet() -> None:
    stream = alone()
    sender_of(stream).window_opened(-65_535, stream)
    stream.send(b"a")
    stream.finish()
    stream.send(b"b")
    stream.finish(Status.INTERNAL)
    sender_of(stream).window_opened(1000, stream)
    sent = parsed(b"".join(sender_of(stream).take()))
    assert messages_of(data_of(sent, 1)) == [b"a"]
    assert statuses(sent, 1) == ["0"]


@pytest.mark.parametrize("blocked", [False, True])
def test_after_a_reset_nothing_is_said(blocked: bool) -> None:
    stream = alone()
    if blocked:
        sender_of(stream).window_opened(-65_535, stream)
    stream.send(b"a")
    sender_of(stream).take()
    sender_of(stream).reset(stream)
    stream.send(b"b")
    stream.finish()
    sender_of(stream).window_opened(100_000, None)
    assert sender_of(stream).take() == []
    assert stream.status is None
    assert sender_of(stream).unsent_bytes == 0


# Hearing.


@settings(deadline=None)
@given(MESSAGES, st.randoms(use_true_random=False))
def test_messages_come_in_in_order_and_the_end_after_them(
    messages: list[bytes], cuts: random.Random
) -> None:
    peer, stream, session = one_call()
    most = cuts.choice((1, 5, 7, 100, 16_384)) if sum(map(len, messages)) < 100 else 4096
    received = data(1, b"".join(map(framed, messages)), ends=True, most=most)
    while received:
        assert not session.half_closed_count
        assert not stream.remote_ended
        size = cuts.choice((1, 9, 14, 5000))
        peer.send(received[:size])
        received = received[size:]
        assert session.messages == messages[: len(session.messages)]
    assert session.messages == messages
    assert stream.received_bytes == sum(len(message) + 5 for message in messages)
    assert (session.half_closed_count, session.closed_count) == (1, 0)
    assert stream.remote_ended


def test_after_the_peers_end_the_session_may_still_speak() -> None:
    peer, stream, session = one_call()
    peer.send(data(1, framed(b"a"), ends=True))
    assert (stream.remote_ended, stream.trailers_sent) == (True, False)
    stream.send(b"late")
    assert messages_of(data_of(peer.frames(), 1)) == [b"late"]
    stream.finish()
    sent = peer.frames()
    assert statuses(sent, 1) == ["0"]
    assert resets(sent) == []
    assert (stream.trailers_sent, session.closed_count) == (True, 1)
    assert 1 not in peer.connection.calls.streams


def test_after_our_end_nothing_more_is_heard() -> None:
    peer, stream, session = one_call()
    peer.send(data(1, framed(b"a")))
    stream.finish(Status.NOT_FOUND)
    sent = peer.frames()
    assert statuses(sent, 1) == ["5"]
    assert resets(sent) == [(1, ErrorCodes.NO_ERROR)]  # the rest is not wanted
    assert peer.send(data(1, framed(b"b"), ends=True)) == []
    assert session.messages == [b"a"]
    assert (session.half_closed_count, session.closed_count) == (0, 1)
    assert stream.reset


def test_our_end_waits_for_the_data_and_nothing_is_heard_meanwhile() -> None:
    peer, stream, session = one_call({INITIAL_WINDOW_SIZE: 0})
    stream.send(b"answer")
    stream.finish()
    assert statuses(peer.frames(), 1) == []
    assert session.closed_count == 1
    peer.send(data(1, framed(b"ignored"), ends=True))
    assert (session.messages, session.half_closed_count) == ([], 0)
    assert 1 in peer.connection.calls.streams
    sent = peer.send(window_update(1, 100))
    assert messages_of(data_of(sent, 1)) == [b"answer"]
    assert statuses(sent, 1) == ["0"]
    assert 1 not in peer.connection.calls.streams


@pytest.mark.parametrize("part", [0, 3, 8])
def test_a_reset_by_the_peer(part: int) -> None:
    peer, stream, session = one_call({INITIAL_WINDOW_SIZE: 0})
    stream.send(b"unsent")
    peer.send(data(1, framed(b"a")), data(1, framed(b"bcdef")[:part]) if part else b"")
    assert peer.send(rst_stream(1)) == []
    assert stream.reset
    assert (session.messages, session.half_closed_count, session.closed_count) == ([b"a"], 0, 1)
    assert (stream.unsent_bytes, len(stream.unsent)) == (0, 0)
    stream.send(b"more")
    stream.finish()
    sent = peer.send(window_update(0, 100), settings_frame({INITIAL_WINDOW_SIZE: 100}))
    assert [type(one) for one in sent] == [SettingsFrame]  # an acknowledgement
    assert session.closed_count == 1
    assert not peer.connection.calls.streams


def test_a_reset_by_us() -> None:
    peer, stream, session = one_call({INITIAL_WINDOW_SIZE: 0})
    stream.send(b"unsent")
    peer.frames()
    peer.connection.calls.reset(stream.id, ErrorCode.CANCEL)
    assert resets(peer.frames()) == [(1, ErrorCodes.CANCEL)]
    assert stream.reset
    stream.send(b"more")
    assert peer.send(data(1, framed(b"on its way"), ends=True)) == []
    assert (session.messages, session.half_closed_count, session.closed_count) == ([], 0, 1)


def test_a_stream_goes_with_its_connection() -> None:
    peer, stream, session = one_call()
    peer.connection.lost()
    stream.send(b"x")
    stream.finish()
    assert peer.output() == b""
    assert (stream.reset, session.closed_count) == (True, 1)


def test_streams_do_not_share_what_they_hold() -> None:
    peer = started(EchoSession)
    peer.send(headers(1), headers(3))
    whole = [data(1, framed(b"abcdef")), data(3, framed(b"uvwxyz"))]
    assert peer.send(data(1, framed(b"first")[:7]), data(3, framed(b"other")[:7])) == []
    sent = peer.send(data(3, framed(b"other")[7:]), data(1, framed(b"first")[7:]), *whole)
    assert messages_of(data_of(sent, 1)) == [b"first", b"abcdef"]
    assert messages_of(data_of(sent, 3)) == [b"other", b"uvwxyz"]
