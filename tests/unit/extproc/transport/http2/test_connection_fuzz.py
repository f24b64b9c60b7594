"""Whatever comes, `receive` does not raise and no session is left open."""

from __future__ import annotations

import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epp.extproc.transport.http2.settings import Limits
from tests.helpers.http2 import (
    CALL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Client,
    EchoSession,
    RawPeer,
    Served,
    block,
    frame,
    framed,
    goaways,
    parsed,
    settings_frame,
    started,
)

LIMITS = Limits(
    max_receive_bytes=10_000,
    max_concurrent_streams=5,
    stream_window_bytes=65_535,
    connection_window_bytes=100_000,
    max_unsent_bytes=1000,
    control_burst=200,
)
KINDS = st.one_of(st.integers(0, 10), st.integers(0, 255))
IDS = st.one_of(st.integers(0, 9), st.integers(0, (1 << 32) - 1))
SECTION = block(CALL)
PAYLOADS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"", SECTION, SECTION[:7], framed(b"hello"), bytes(4), bytes(8)]),
    st.integers(0, 17_000).map(bytes),
)
FRAMES = st.lists(st.builds(frame, KINDS, st.integers(0, 255), IDS, PAYLOADS), max_size=30)


def fed(peer: RawPeer, received: bytes, cuts: random.Random) -> None:
    """In chunks of any size; then the end is what it must be in any case."""
    codes: list[int] = []
    written = b""
    while received:
        size = cuts.choice((1, 9, 100, 1000, 100_000))
        peer.receive(received[:size])
        received = received[size:]
        written += peer.output()
    codes = goaways(parsed(written))
    assert len(codes) <= 1
    assert peer.connection.closing == bool(codes)
    for session in list(peer.sessions):
        assert session.closed_count <= 1
    peer.connection.calls.expire(1e6)
    peer.connection.lost()
    peer.output()
    assert peer.all_closed
    assert not peer.connection.calls.streams
    assert not peer.connection.sender.blocked


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.randoms(use_true_random=False))
def test_arbitrary_bytes_after_the_preface(noise: bytes, cuts: random.Random) -> None:
    fed(started(EchoSession, LIMITS), noise, cuts)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=100), st.randoms(use_true_random=False))
def test_arbitrary_bytes_instead_of_the_preface(noise: bytes, cuts: random.Random) -> None:
    peer = RawPeer(EchoSession, LIMITS)
    fed(peer, noise, cuts)
    assert not peer.sessions


@settings(max_examples=300, deadline=None)
@given(FRAMES, st.randoms(use_true_random=False))
def test_frames_of_any_kind_flags_ids_and_lengths(frames: list[bytes], cuts: random.Random) -> None:
    fed(started(EchoSession, LIMITS), b"".join(frames), cuts)


@cache
def recording() -> bytes:
    """What hyper-h2 sent in a conversation of several calls."""

    class Recorded(Served):
        def receive(self, data: bytes) -> None:
            heard.append(data)
            super().receive(data)

    heard: list[bytes] = []
    client = Client(Recorded())
    calls = [client.open(("x-key", str(at))) for at in range(4)]
    for at, call in enumerate(calls):
        call.unsent = framed(b"m" * at * 400) * 3
        client.write(call, 1000)
        client.settle()
    client.cancel(calls[0])
    client.h2.ping(b"12345678")
    for call in calls * 5:
        client.write(call, 10_000)
        client.acknowledge(call)
        client.settle()
    assert all(call.over for call in calls)
    return b"".join(heard)


def mutated(valid: bytes, chance: random.Random) -> bytes:
    at = len(PREFACE)
    changed = bytearray(valid)
    for _ in range(chance.randint(1, 4)):
        where = chance.randrange(at, len(changed))
        until = min(where + chance.choice((1, 4, 9, 50)), len(changed))
        match chance.randrange(5):
            case 0:
                changed[where] ^= 1 << chance.randrange(8)
            case 1:
                del changed[where:until]
            case 2:
                changed[where:where] = chance.randbytes(until - where)
            case 3:
                changed[where:where] = changed[where:until]
            case _:
                changed[where] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
    return bytes(changed)


def test_the_recording_is_a_good_conversation() -> None:
    peer = RawPeer()
    assert goaways(peer.send(recording())) == []
    assert len(peer.sessions) == 4
    assert peer.all_closed


@pytest.mark.parametrize("seed", range(5))
def test_mutated_conversations(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(100):
        fed(RawPeer(EchoSession, LIMITS), mutated(recording(), chance), chance)


@pytest.mark.parametrize("seed", range(5))
def test_likely_frames_in_any_order(seed: int) -> None:
    """Valid frames mostly, so that states are reached which noise does not reach."""
    chance = random.Random(seed)
    for _ in range(100):
        pieces = [likely(chance) for _ in range(chance.randint(1, 120))]
        fed(started(EchoSession, LIMITS), b"".join(pieces), chance)


def likely(chance: random.Random) -> bytes:
    stream_id = chance.choice((1, 3, 5, 7, 9, 11, 13, 15))
    flags = chance.choice((0, 0, 1, END_HEADERS, END_HEADERS | 1, 0x0C))
    number = chance.choice((0, 1, 10, 65_535, (1 << 31) - 1)).to_bytes(4, "big")
    match chance.randrange(12):
        case 0 | 1 | 2:
            return frame(HEADERS, END_HEADERS | flags & 1, stream_id, SECTION)
        case 3 | 4 | 5 | 6:
            message = framed(bytes(chance.choice((0, 1, 100, 5000))))
            return frame(DATA, flags & 9, stream_id, message)
        case 7:
            return frame(RST_STREAM, 0, stream_id, number)
        case 8:
            return frame(WINDOW_UPDATE, 0, chance.choice((0, stream_id)), number)
        case 9:
            return settings_frame({chance.choice((1, 2, 3, 4, 5)): chance.choice((0, 1, 16_384))})
        case 10:
            return frame(PING, flags & 1, 0, bytes(8))
        case _:
            kind = chance.choice((SETTINGS, GOAWAY, CONTINUATION, HEADERS))
            return frame(kind, flags, chance.choice((0, stream_id)), chance.randbytes(8))
