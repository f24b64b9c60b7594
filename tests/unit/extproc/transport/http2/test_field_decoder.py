"""Field sections are decoded as hpack encoded them, whatever came before on the connection."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from epp.extproc.transport.http2.faults import ConnectionFault, ErrorCode
from epp.extproc.transport.http2.field_decoder import FieldDecoder
from epp.extproc.transport.http2.fields import MalformedFields, RequestHead, request_head
from epp.extproc.transport.http2.settings import Limits

MAX_BYTES = Limits().max_header_bytes
Fields = list[tuple[bytes, bytes]]

REQUEST: Fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a.B/C")]

# Of RFC 7541: static indices (appendix A) and the first octets of the representations.
POST, HTTP, ROOT = b"\x83", b"\x86", b"\x84"
OPENING = POST + HTTP + ROOT
NEWEST = b"\xbe"  # index 62, the field that was added last
NO_TABLE = b"\x20"  # its size is 0 from now on


def adding(name: bytes, value: bytes) -> bytes:
    """A literal that goes into the dynamic table."""
    return b"\x40" + bytes((len(name),)) + name + bytes((len(value),)) + value


# A value for the name at index 62, without any octet below 0x40.
ALL_HIGH = b"\x7e\x40" + b"v" * 64


def with_fields(*more: tuple[bytes, bytes]) -> Fields:
    return [*REQUEST, *more]


def head_of(decoder: FieldDecoder, block: bytes) -> RequestHead:
    return request_head(decoder.fields(block))


def pairs_of(decoder: FieldDecoder, block: bytes) -> Fields:
    return [(field.name, field.value) for field in decoder.fields(block)]


# Decoding.


@dataclass
class Section:
    fields: list[tuple[bytes, bytes, bool]]  # name, value, never indexed
    huffman: bool
    table_size: int | None  # announced before it
    trailers: bool


NAMES = st.sampled_from(
    [b"x-a", b"x-b", b"x-request-id", b"accept", b"user-agent", b"x-" + b"n" * 90]
)
VALUES = st.one_of(
    st.sampled_from([b"", b"1", b"2", b"*/*", b"v" * 40, b"v" * 1500, b"\xe4\xff"]),
    st.binary(max_size=6).map(bytes.hex).map(str.encode),
)
SECTIONS = st.lists(
    st.builds(
        Section,
        fields=st.lists(
            st.tuples(NAMES, VALUES, st.sampled_from([False] * 4 + [True])), max_size=5
        ),
        huffman=st.booleans(),
        table_size=st.sampled_from([None] * 6 + [0, 40, 200, 4096]),
        trailers=st.sampled_from([False] * 4 + [True]),
    ),
    max_size=12,
)


@given(st.lists(SECTIONS.map(tuple), max_size=3))
def test_sections_are_read_as_they_were_written(rounds: list[tuple[Section, ...]]) -> None:
    """Three times each in a row, as the second time they are often nothing but indices."""
    encoder, decoder = Encoder(), FieldDecoder(MAX_BYTES)
    for section in (one for sections in rounds for one in sections * 3):
        if section.table_size is not None:
            encoder.header_table_size = section.table_size
        pairs = [(name, value) for name, value, _ in section.fields]
        if section.trailers:
            block = encoder.encode(section.fields, huffman=section.huffman)
            assert list(pairs_of(decoder, block)) == pairs
            continue
        pseudo = [(*pair, False) for pair in REQUEST]
        block = encoder.encode([*pseudo, *section.fields], huffman=section.huffman)
        texts = {name.decode(): value.decode("latin-1") for name, value in pairs}
        assert head_of(decoder, block) == RequestHead("POST", "/a.B/C", texts, None)


@pytest.mark.parametrize("huffman", [False, True])
def test_equal_sections_are_read_equally_again_and_again(huffman: bool) -> None:
    encoder, decoder = Encoder(), FieldDecoder(MAX_BYTES)
    fields = with_fields((b"x-a", b"1"), (b"user-agent", b"grpc"))
    heads = [head_of(decoder, encoder.encode(fields, huffman=huffman)) for _ in range(5)]
    assert all(head == heads[0] for head in heads)
    assert heads[0].metadata == {"x-a": "1", "user-agent": "grpc"}


def test_a_field_is_judged_once_and_then_found_by_its_index() -> None:
    decoder = FieldDecoder(MAX_BYTES)
    (added,) = decoder.fields(adding(b"X-Wrong", b"0"))
    assert added.fault
    assert decoder.fields(NEWEST) == [added]
    with pytest.raises(MalformedFields):
        head_of(decoder, OPENING + NEWEST)


def test_a_field_that_is_larger_than_the_table_empties_it() -> None:
    decoder = FieldDecoder(2 * MAX_BYTES)
    decoder.fields(adding(b"x-a", b"1"))
    decoder.fields(Encoder().encode([(b"x", b"v" * (4096 - 32))], huffman=False))
    with pytest.raises(ConnectionFault):
        decoder.fields(NEWEST)
    decoder.fields(adding(b"x-b", b"2"))
    assert pairs_of(decoder, NEWEST) == [(b"x-b", b"2")]


@pytest.mark.parametrize(
    ("change", "meaning"),
    [
        pytest.param(("request", OPENING + adding(b"x-b", b"2")), {"x-b": "2"}, id="request"),
        pytest.param(("pairs", adding(b"x-b", b"2")), {"x-b": "2"}, id="trailers"),
        pytest.param(("request", OPENING + ALL_HIGH), {"x-a": "v" * 64}, id="high octets"),
        pytest.param(
            ("malformed", POST + adding(b"x-b", b"2")), {"x-b": "2"}, id="malformed request"
        ),
        pytest.param(
            ("malformed", adding(b"X", b"2") + adding(b"x-b", b"2")),
            {"x-b": "2"},
            id="malformed at its beginning",
        ),
        pytest.param(("request", b"\x3f\xe1\x1f" + OPENING), {"x-a": "1"}, id="same table size"),
        pytest.param(("request", NO_TABLE + OPENING), None, id="no table"),
        pytest.param(("pairs", NO_TABLE), None, id="no table after trailers"),
        pytest.param(
            ("request", NO_TABLE + b"\x3f\xe1\x1f" + OPENING + adding(b"x-c", b"3")),
            {"x-c": "3"},
            id="a new table",
        ),
        pytest.param(("request", OPENING + b"\x00\x03x-d\x014"), {"x-a": "1"}, id="not added"),
    ],
)
def test_an_index_means_something_else_when_the_table_changes(
    change: tuple[str, bytes], meaning: dict[str, str] | None
) -> None:
    decoder = FieldDecoder(MAX_BYTES)
    head_of(decoder, OPENING + adding(b"x-a", b"1"))
    block = OPENING + NEWEST
    assert head_of(decoder, block).metadata == {"x-a": "1"}
    how, between = change
    if how == "request":
        head_of(decoder, between)
    elif how == "pairs":
        pairs_of(decoder, between)
    else:
        with pytest.raises(MalformedFields):
            head_of(decoder, between)
    if meaning is None:
        with pytest.raises(ConnectionFault) as caught:
            head_of(decoder, block)
        assert caught.value.code is ErrorCode.COMPRESSION_ERROR
    else:
        assert head_of(decoder, block).metadata == meaning


def test_a_change_inside_a_section_that_begins_with_indices() -> None:
    decoder = FieldDecoder(MAX_BYTES)
    head_of(decoder, OPENING + adding(b"x-a", b"1"))
    both = head_of(decoder, OPENING + NEWEST + adding(b"x-b", b"2") + NEWEST)
    assert both.metadata == {"x-a": "1", "x-b": "2"}
    assert head_of(decoder, OPENING + NEWEST).metadata == {"x-b": "2"}


def test_indices_of_two_bytes() -> None:
    encoder, decoder = Encoder(), FieldDecoder(MAX_BYTES)
    added: Fields = [(b"a%02d" % at, b"v") for at in range(100)]
    head_of(decoder, encoder.encode(with_fields(*added), huffman=False))
    for name, value in added[::7]:
        block = encoder.encode(with_fields((name, value)))
        assert b"\xff" in block or name >= b"a35"
        assert head_of(decoder, block).metadata == {name.decode(): "v"}
    block = OPENING + b"\xff\x00"  # index 127
    before = head_of(decoder, block).metadata
    head_of(decoder, OPENING + adding(b"x-a", b"1"))
    assert head_of(decoder, block).metadata != before


@pytest.mark.parametrize("cut", [b"\xff", b"\xff\x80"])
def test_an_index_that_is_cut_is_a_fault(cut: bytes) -> None:
    with pytest.raises(ConnectionFault):
        head_of(FieldDecoder(MAX_BYTES), OPENING + cut)


def test_malformed_requests_are_found_every_time() -> None:
    decoder = FieldDecoder(MAX_BYTES)
    for _ in range(3):
        with pytest.raises(MalformedFields):
            head_of(decoder, POST + HTTP)


def test_the_table_is_one_for_requests_and_trailers() -> None:
    encoder, decoder = Encoder(), FieldDecoder(MAX_BYTES)
    trailers: Fields = [(b"x-a", b"1")]
    assert list(pairs_of(decoder, encoder.encode(trailers))) == trailers
    assert head_of(decoder, encoder.encode(with_fields(*trailers))).metadata == {"x-a": "1"}
    assert list(pairs_of(decoder, encoder.encode(trailers))) == trailers


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"\x80", id="index 0"),
        pytest.param(OPENING + NEWEST, id="index beyond the table"),
        pytest.param(b"\xff\xff\xff\xff\xff\xff\x01", id="index of too many bytes"),
        pytest.param(b"\xff", id="half an index"),
        pytest.param(b"\x00\x05abc", id="half a name"),
        pytest.param(b"\x00\x01a\x09b", id="half a value"),
        pytest.param(b"\x00\x01a", id="no value"),
        pytest.param(b"\x40", id="no name"),
        pytest.param(b"\x00\x01a\x81\x00", id="huffman with wrong padding"),
        pytest.param(b"\x00\x01a\x84\xff\xff\xff\xff", id="huffman with its end"),
        pytest.param(OPENING + NO_TABLE, id="table size after fields"),
        pytest.param(b"\x3f\xe2\x1f" + OPENING, id="table size over 4096"),
    ],
)
def test_a_section_that_is_not_hpack_ends_the_connection(block: bytes) -> None:
    with pytest.raises(ConnectionFault) as of_request:
        head_of(FieldDecoder(MAX_BYTES), block)
    assert of_request.value.code is ErrorCode.COMPRESSION_ERROR
    with pytest.raises(ConnectionFault) as of_trailers:
        pairs_of(FieldDecoder(MAX_BYTES), block)
    assert of_trailers.value.code is ErrorCode.COMPRESSION_ERROR


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=30),
            st.lists(
                st.sampled_from([OPENING, NEWEST, NO_TABLE, adding(b"x", b"1"), b"\xff", b"\x00"])
            ).map(b"".join),
        ),
        max_size=5,
    )
)
def test_whatever_comes_is_read_or_refused(blocks: list[bytes]) -> None:
    decoder, codes = FieldDecoder(1000), set()
    for block in blocks:
        try:
            head_of(decoder, block)
        except MalformedFields:
            continue
        except ConnectionFault as fault:
            codes.add(fault.code)
            break
    assert codes <= {ErrorCode.COMPRESSION_ERROR}


# Limits: every field counts 32 bytes beside its own (RFC 9113 section 6.5.2).


@pytest.mark.parametrize("again", [1, 3])
@pytest.mark.parametrize("over", [0, 1])
def test_the_size_of_a_section_is_limited(over: int, again: int) -> None:
    fields = with_fields((b"x-a", b"v" * 100))
    size = sum(len(name) + len(value) + 32 for name, value in fields)
    encoder, decoder = Encoder(), FieldDecoder(size - over)
    for _ in range(again):
        block = encoder.encode(fields)
        if over:
            with pytest.raises(ConnectionFault) as caught:
                head_of(decoder, block)
            assert caught.value.code is ErrorCode.COMPRESSION_ERROR
            return
        assert head_of(decoder, block).metadata == {"x-a": "v" * 100}


def test_empty_fields_count_too() -> None:
    section = b"\x00\x00\x00"
    assert len(list(pairs_of(FieldDecoder(320), section * 10))) == 10
    with pytest.raises(ConnectionFault):
        pairs_of(FieldDecoder(320), section * 11)


def test_a_few_bytes_may_not_become_many() -> None:
    decoder = FieldDecoder(MAX_BYTES)
    pairs_of(decoder, Encoder().encode([(b"x", b"v" * 3000)], huffman=False))
    assert len(head_of(decoder, OPENING + NEWEST * 10).metadata["x"]) == 3000
    with pytest.raises(ConnectionFault) as caught:
        head_of(decoder, OPENING + NEWEST * 11)
    assert caught.value.code is ErrorCode.COMPRESSION_ERROR
