"""What the peer's SETTINGS may say, and what ours do."""

from __future__ import annotations

import pytest
from h2.exceptions import InvalidSettingsValueError
from h2.settings import Settings
from hyperframe.frame import SettingsFrame
from hypothesis import given
from hypothesis import strategies as st

from epp.extproc.transport.http2 import frames
from epp.extproc.transport.http2.faults import ConnectionFault, ErrorCode
from epp.extproc.transport.http2.settings import (
    ENABLE_PUSH,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    Limits,
    PeerSettings,
)
from tests.helpers.http2 import parsed

MOST = (1 << 32) - 1
CHECKED = (ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE)
VALUES = st.one_of(
    st.sampled_from([0, 1, 2, 16_383, 16_384, (1 << 24) - 1, 1 << 24, (1 << 31) - 1, 1 << 31]),
    st.integers(0, MOST),
)


def payload(*pairs: tuple[int, int]) -> bytes:
    return b"".join(name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in pairs)


def test_identifiers_are_those_of_the_registry() -> None:
    assert (
        HEADER_TABLE_SIZE,
        ENABLE_PUSH,
        MAX_CONCURRENT_STREAMS,
        INITIAL_WINDOW_SIZE,
        MAX_FRAME_SIZE,
        MAX_HEADER_LIST_SIZE,
    ) == (
        SettingsFrame.HEADER_TABLE_SIZE,
        SettingsFrame.ENABLE_PUSH,
        SettingsFrame.MAX_CONCURRENT_STREAMS,
        SettingsFrame.INITIAL_WINDOW_SIZE,
        SettingsFrame.MAX_FRAME_SIZE,
        SettingsFrame.MAX_HEADER_LIST_SIZE,
    )


def test_what_holds_before_any_settings() -> None:
    assert PeerSettings() == PeerSettings(initial_window=65_535, max_frame_bytes=16_384)
    peer = PeerSettings()
    peer.apply(b"")
    assert peer == PeerSettings()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (INITIAL_WINDOW_SIZE, 0, PeerSettings(initial_window=0)),
        (INITIAL_WINDOW_SIZE, 1, PeerSettings(initial_window=1)),
        (INITIAL_WINDOW_SIZE, (1 << 31) - 1, PeerSettings(initial_window=(1 << 31) - 1)),
        (MAX_FRAME_SIZE, 16_384, PeerSettings(max_frame_bytes=16_384)),
        (MAX_FRAME_SIZE, 16_385, PeerSettings(max_frame_bytes=16_385)),
        (MAX_FRAME_SIZE, (1 << 24) - 1, PeerSettings(max_frame_bytes=(1 << 24) - 1)),
        (ENABLE_PUSH, 0, PeerSettings()),
        (ENABLE_PUSH, 1, PeerSettings()),
        (HEADER_TABLE_SIZE, 0, PeerSettings()),
        (HEADER_TABLE_SIZE, MOST, PeerSettings()),
        (MAX_CONCURRENT_STREAMS, 0, PeerSettings()),
        (MAX_HEADER_LIST_SIZE, 0, PeerSettings()),
        (0x0, MOST, PeerSettings()),
        (0x7, MOST, PeerSettings()),
        (0xFFFF, MOST, PeerSettings()),
    ],
)
def test_a_value_that_may_be(name: int, value: int, expected: PeerSettings) -> None:
    peer = PeerSettings()
    peer.apply(payload((name, value)))
    assert peer == expected


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        (ENABLE_PUSH, 2, ErrorCode.PROTOCOL_ERROR),
        (ENABLE_PUSH, MOST, ErrorCode.PROTOCOL_ERROR),
        (INITIAL_WINDOW_SIZE, 1 << 31, ErrorCode.FLOW_CONTROL_ERROR),
        (INITIAL_WINDOW_SIZE, MOST, ErrorCode.FLOW_CONTROL_ERROR),
        (MAX_FRAME_SIZE, 0, ErrorCode.PROTOCOL_ERROR),
        (MAX_FRAME_SIZE, 16_383, ErrorCode.PROTOCOL_ERROR),
        (MAX_FRAME_SIZE, 1 << 24, ErrorCode.PROTOCOL_ERROR),
        (MAX_FRAME_SIZE, MOST, ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_a_value_that_may_not_be(name: int, value: int, code: ErrorCode) -> None:
    peer = PeerSettings()
    with pytest.raises(ConnectionFault) as caught:
        peer.apply(payload((name, value)))
    assert caught.value.code is code
    assert peer == PeerSettings()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 10, 13, 20])
def test_half_a_setting(size: int) -> None:
    with pytest.raises(ConnectionFault) as caught:
        PeerSettings().apply(bytes(size))
    assert caught.value.code is ErrorCode.FRAME_SIZE_ERROR


def test_the_last_of_equal_settings_counts() -> None:
    peer = PeerSettings()
    peer.apply(
        payload((INITIAL_WINDOW_SIZE, 5), (MAX_FRAME_SIZE, 20_000), (INITIAL_WINDOW_SIZE, 9))
    )
    assert peer == PeerSettings(initial_window=9, max_frame_bytes=20_000)


def test_a_fault_anywhere_in_a_frame_is_found() -> None:
    peer = PeerSettings()
    with pytest.raises(ConnectionFault):
        peer.apply(payload((INITIAL_WINDOW_SIZE, 5), (0x99, 1), (ENABLE_PUSH, 2)))


def test_what_a_frame_does_not_name_stays() -> None:
    peer = PeerSettings()
    peer.apply(payload((MAX_FRAME_SIZE, 20_000)))
    peer.apply(payload((INITIAL_WINDOW_SIZE, 5)))
    assert peer == PeerSettings(initial_window=5, max_frame_bytes=20_000)


def refusal(theirs: Settings, pairs: list[tuple[int, int]]) -> int | None:
    """The error code of the first value that hyper-h2 does not take."""
    for name, value in pairs:
        try:
            theirs[name] = value
        except InvalidSettingsValueError as invalid:
            return int(invalid.error_code)
        theirs.acknowledge()
    return None


@given(st.lists(st.tuples(st.sampled_from(CHECKED), VALUES), max_size=6))
def test_values_are_taken_and_refused_as_by_h2(pairs: list[tuple[int, int]]) -> None:
    peer, theirs = PeerSettings(), Settings(client=True)
    code = refusal(theirs, pairs)
    if code is None:
        peer.apply(payload(*pairs))
    else:
        with pytest.raises(ConnectionFault) as caught:
            peer.apply(payload(*pairs))
        assert caught.value.code == code
    assert peer.initial_window == theirs.initial_window_size
    assert peer.max_frame_bytes == theirs.max_frame_size


def test_our_settings_say_what_the_limits_are() -> None:
    limits = Limits(max_concurrent_streams=7, stream_window_bytes=70_000, max_header_bytes=900)
    [ours] = parsed(frames.settings(limits.announced()))
    assert isinstance(ours, SettingsFrame)
    assert ours.settings == {
        SettingsFrame.MAX_CONCURRENT_STREAMS: 7,
        SettingsFrame.INITIAL_WINDOW_SIZE: 70_000,
        SettingsFrame.MAX_HEADER_LIST_SIZE: 900,
    }


def test_a_client_may_take_our_own_settings() -> None:
    theirs = Settings(client=False)
    for name, value in Limits().announced().items():
        theirs[name] = value
    assert min(Limits().stream_window_bytes, Limits().connection_window_bytes) >= 65_535
