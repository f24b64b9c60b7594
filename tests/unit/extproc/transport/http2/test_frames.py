"""The frames that we write and read, against those of hyperframe."""

from __future__ import annotations

import struct

import pytest
from hyperframe.exceptions import InvalidFrameError, InvalidPaddingError
from hyperframe.frame import (
    FRAMES,
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given
from hypothesis import strategies as st

from epp.extproc.transport.http2 import frames
from epp.extproc.transport.http2.faults import ConnectionFault, ErrorCode, StreamFault
from epp.extproc.transport.http2.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    HEADER,
    HEADER_BYTES,
    MAX_STREAM_ID,
    MAX_WINDOW,
    PADDED,
    PRIORITY,
    SETTINGS_ACK,
    Kind,
)

IDS = st.integers(1, MAX_STREAM_ID)
PAYLOADS = st.one_of(st.binary(max_size=40), st.integers(0, 70_000).map(bytes))
CODES = st.sampled_from(ErrorCode)
RESERVED = 1 << 31


def body(one: Frame) -> bytes:
    return one.serialize()[HEADER_BYTES:]


def flag_byte(one: Frame) -> int:
    return one.serialize()[4]


def test_the_preface_is_the_one_of_the_rfc() -> None:
    octets = "505249202a20485454502f322e300d0a0d0a534d0d0a0d0a"  # RFC 9113 section 3.4
    assert bytes.fromhex(octets) == frames.PREFACE


def test_kinds_have_the_numbers_of_the_registry() -> None:
    standard = {number: one for number, one in FRAMES.items() if number <= max(Kind)}
    assert {kind.name.replace("_", "") + "FRAME": int(kind) for kind in Kind} == {
        one.__name__.upper(): number for number, one in standard.items()
    }


@pytest.mark.parametrize(
    ("one", "bits"),
    [
        (DataFrame(1, flags=["END_STREAM"]), END_STREAM),
        (DataFrame(1, flags=["PADDED"]), PADDED),
        (HeadersFrame(1, flags=["END_STREAM"]), END_STREAM),
        (HeadersFrame(1, flags=["END_HEADERS"]), END_HEADERS),
        (HeadersFrame(1, flags=["PADDED"]), PADDED),
        (HeadersFrame(1, flags=["PRIORITY"]), PRIORITY),
        (ContinuationFrame(1, flags=["END_HEADERS"]), END_HEADERS),
        (SettingsFrame(flags=["ACK"]), ACK),
        (PingFrame(flags=["ACK"]), ACK),
    ],
    ids=repr,
)
def test_flags_have_the_bits_of_the_registry(one: Frame, bits: int) -> None:
    assert flag_byte(one) == bits


# Writing.


@given(IDS, PAYLOADS)
def test_data_is_written(stream_id: int, payload: bytes) -> None:
    assert (
        frames.frame(Kind.DATA, END_STREAM, stream_id, payload)
        == DataFrame(stream_id, payload, flags=["END_STREAM"]).serialize()
    )


@given(IDS, PAYLOADS)
def test_field_sections_are_written(stream_id: int, payload: bytes) -> None:
    ended = HeadersFrame(stream_id, payload, flags=["END_STREAM", "END_HEADERS"])
    flags = END_STREAM | END_HEADERS
    assert frames.frame(Kind.HEADERS, flags, stream_id, payload) == ended.serialize()
    more = ContinuationFrame(stream_id, payload)
    assert frames.frame(Kind.CONTINUATION, 0, stream_id, payload) == more.serialize()


@given(st.dictionaries(st.integers(0, 255), st.integers(0, (1 << 32) - 1), max_size=12))
def test_settings_are_written(values: dict[int, int]) -> None:
    assert frames.settings(values) == SettingsFrame(settings=values).serialize()


def test_a_setting_has_sixteen_bits_of_name() -> None:  # hyperframe writes eight of them
    assert frames.settings({0xABCD: 1})[HEADER_BYTES:] == b"\xab\xcd\x00\x00\x00\x01"


def test_the_acknowledgement_of_settings_is_written() -> None:
    assert SettingsFrame(flags=["ACK"]).serialize() == SETTINGS_ACK


@given(st.binary(min_size=8, max_size=8))
def test_pings_are_written(payload: bytes) -> None:
    assert frames.ping(payload) == PingFrame(opaque_data=payload).serialize()
    answer = PingFrame(opaque_data=payload, flags=["ACK"])
    assert frames.ping_ack(payload) == answer.serialize()


@given(st.integers(0, MAX_STREAM_ID), CODES, st.text(max_size=50))
def test_goaway_is_written(last: int, code: ErrorCode, text: str) -> None:
    expected = GoAwayFrame(last_stream_id=last, error_code=code, additional_data=text.encode())
    assert frames.goaway(last, code, text) == expected.serialize()


def test_goaway_needs_no_text() -> None:
    assert frames.goaway(3, ErrorCode.NO_ERROR) == GoAwayFrame(last_stream_id=3).serialize()


@given(IDS, CODES)
def test_resets_are_written(stream_id: int, code: ErrorCode) -> None:
    expected = RstStreamFrame(stream_id, error_code=code)
    assert frames.rst_stream(stream_id, code) == expected.serialize()


@given(st.integers(0, MAX_STREAM_ID), st.integers(1, MAX_WINDOW))
def test_window_updates_are_written(stream_id: int, increment: int) -> None:
    expected = WindowUpdateFrame(stream_id, window_increment=increment)
    assert frames.window_update(stream_id, increment) == expected.serialize()


def test_the_longest_frame_is_written() -> None:
    payload = bytes(frames.MAX_FRAME_BYTES)
    written = frames.frame(Kind.DATA, 0, 1, payload)
    one, length = Frame.parse_frame_header(memoryview(written[:HEADER_BYTES]))
    assert (type(one), length) == (DataFrame, (1 << 24) - 1)


# Reading.


@given(st.sampled_from(Kind), st.integers(0, 255), st.integers(0, 70_000), IDS)
def test_a_header_is_unpacked(kind: Kind, flags: int, length: int, stream_id: int) -> None:
    header = length.to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big")
    word, seen_flags, seen_id = HEADER.unpack(header)
    assert (word >> 8, word & 0xFF, seen_flags, seen_id) == (length, kind, flags, stream_id)
    assert len(header) == HEADER_BYTES == HEADER.size


@given(st.binary(max_size=300), st.integers(0, 255))
def test_padding_is_taken_off_data(payload: bytes, padding: int) -> None:
    one = DataFrame(1, payload, pad_length=padding, flags=["PADDED"])
    assert frames.unpadded(body(one), PADDED) == payload
    assert frames.unpadded(body(one), PADDED | END_STREAM) == payload


@given(st.binary(max_size=300), st.integers(0, 255).filter(lambda flags: not flags & PADDED))
def test_without_the_flag_nothing_is_padding(payload: bytes, flags: int) -> None:
    assert frames.unpadded(payload, flags) == payload


@given(
    st.one_of(
        st.binary(max_size=30),
        st.builds(lambda first, rest: bytes((first,)) + rest, st.integers(0, 9), st.binary()),
    )
)
def test_padding_is_refused_where_hyperframe_refuses_it(payload: bytes) -> None:
    """Beside an empty frame, which has no padding to be too long."""
    one = DataFrame(1, flags=["PADDED"])
    try:
        one.parse_body(memoryview(payload))
    except InvalidPaddingError:
        expected = ErrorCode.PROTOCOL_ERROR
    except InvalidFrameError:
        expected = ErrorCode.FRAME_SIZE_ERROR
    else:
        assert frames.unpadded(payload, PADDED) == one.data
        return
    with pytest.raises(ConnectionFault) as caught:
        frames.unpadded(payload, PADDED)
    assert caught.value.code is expected


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", ErrorCode.FRAME_SIZE_ERROR),
        (b"\x01", ErrorCode.PROTOCOL_ERROR),
        (b"\x03ab", ErrorCode.PROTOCOL_ERROR),
        (b"\x04abc", ErrorCode.PROTOCOL_ERROR),
        (b"\xffabc", ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_padding_that_is_longer_than_its_frame(payload: bytes, code: ErrorCode) -> None:
    with pytest.raises(ConnectionFault) as caught:
        frames.unpadded(payload, PADDED)
    assert caught.value.code is code


@pytest.mark.parametrize("payload", [b"\x00", b"\x02ab"])
def test_a_frame_may_be_all_padding(payload: bytes) -> None:
    assert frames.unpadded(payload, PADDED) == b""


@given(
    st.binary(max_size=60),
    st.none() | st.integers(0, 255),
    st.none() | st.tuples(st.integers(0, MAX_STREAM_ID), st.integers(0, 255), st.booleans()),
)
def test_the_fragment_of_headers_is_read(
    section: bytes, padding: int | None, priority: tuple[int, int, bool] | None
) -> None:
    depends_on, weight, exclusive = priority or (0, 0, False)
    names = ["PADDED"] * (padding is not None) + ["PRIORITY"] * (priority is not None)
    one = HeadersFrame(
        7,
        section,
        pad_length=padding or 0,
        depends_on=depends_on,
        stream_weight=weight,
        exclusive=exclusive,
        flags=names,
    )
    loops = priority is not None and depends_on == 7
    assert frames.header_fragment(body(one), flag_byte(one), 7) == (section, loops)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize(("depends_on", "loops"), [(0, False), (5, True), (7, False)])
def test_who_depends_on_itself(depends_on: int, loops: bool, exclusive: bool) -> None:
    values = {"depends_on": depends_on, "stream_weight": 16, "exclusive": exclusive}
    assert frames.depends_on_itself(body(PriorityFrame(5, **values)), 5) is loops
    for flags in (["PRIORITY"], ["PRIORITY", "PADDED"]):
        headers = HeadersFrame(5, b"section", flags=flags, **values)
        assert frames.header_fragment(body(headers), flag_byte(headers), 5) == (b"section", loops)


@pytest.mark.parametrize("size", range(5))
def test_headers_with_half_a_priority(size: int) -> None:
    with pytest.raises(ConnectionFault) as caught:
        frames.header_fragment(bytes(size), PRIORITY, 1)
    assert caught.value.code is ErrorCode.FRAME_SIZE_ERROR
    with pytest.raises(ConnectionFault) as caught:  # padding is no priority
        frames.header_fragment(b"\x09" + bytes(size) + bytes(9), PRIORITY | PADDED, 1)
    assert caught.value.code is ErrorCode.FRAME_SIZE_ERROR


def test_headers_of_a_priority_and_nothing_else() -> None:
    assert frames.header_fragment(struct.pack(">IB", 3, 9), PRIORITY, 1) == (b"", False)


@pytest.mark.parametrize(
    ("payload", "code"),
    [(b"", ErrorCode.FRAME_SIZE_ERROR), (b"\x05abcd", ErrorCode.PROTOCOL_ERROR)],
)
def test_padding_of_headers_is_checked(payload: bytes, code: ErrorCode) -> None:
    with pytest.raises(ConnectionFault) as caught:
        frames.header_fragment(payload, PADDED | END_HEADERS, 1)
    assert caught.value.code is code


@pytest.mark.parametrize("reserved", [0, RESERVED])
@given(stream_id=st.integers(0, MAX_STREAM_ID), increment=st.integers(1, MAX_WINDOW))
def test_the_increment_of_a_window_update(reserved: int, stream_id: int, increment: int) -> None:
    payload = body(WindowUpdateFrame(stream_id, window_increment=increment))
    assert frames.increment_of(payload, stream_id) == increment
    marked = struct.pack(">I", increment | reserved)
    assert frames.increment_of(marked, stream_id) == increment


@pytest.mark.parametrize("payload", [bytes(4), struct.pack(">I", RESERVED)])
def test_a_window_update_of_nothing(payload: bytes) -> None:
    with pytest.raises(StreamFault) as of_stream:
        frames.increment_of(payload, 9)
    assert (of_stream.value.stream_id, of_stream.value.code) == (9, ErrorCode.PROTOCOL_ERROR)
    with pytest.raises(ConnectionFault) as of_connection:
        frames.increment_of(payload, 0)
    assert of_connection.value.code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("stream_id", [0, 1])
@pytest.mark.parametrize("size", [0, 1, 3, 5, 8])
def test_a_window_update_of_a_wrong_size_ends_the_connection(size: int, stream_id: int) -> None:
    with pytest.raises(ConnectionFault) as caught:
        frames.increment_of(b"\x01" * size, stream_id)
    assert caught.value.code is ErrorCode.FRAME_SIZE_ERROR


@pytest.mark.parametrize(("size", "wanted"), [(0, 8), (7, 8), (9, 8), (3, 4), (5, 4), (1, 0)])
def test_a_payload_of_a_wrong_size(size: int, wanted: int) -> None:
    with pytest.raises(
        ConnectionFault, match=f"THIS of {size} bytes instead of {wanted}"
    ) as caught:
        frames.check_size(bytes(size), wanted, "THIS")
    assert caught.value.code is ErrorCode.FRAME_SIZE_ERROR


@pytest.mark.parametrize("size", [0, 4, 8])
def test_a_payload_of_the_right_size(size: int) -> None:
    frames.check_size(bytes(size), size, "THIS")
