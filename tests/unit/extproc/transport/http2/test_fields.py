"""Field sections: decoded as hpack encoded them, looked up only while they mean the same."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from epp.extproc.transport.http2.faults import ConnectionFault, ErrorCode
from epp.extproc.transport.http2.fields import (
    REMEMBERED_SECTIONS,
    FieldDecoder,
    MalformedFields,
    RequestHead,
    check_trailers,
    literal,
    request_head,
)
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
            assert list(decoder.pairs(block)) == pairs
            continue
        pseudo = [(*pair, False) for pair in REQUEST]
        block = encoder.encode([*pseudo, *section.fields], huffman=section.huffman)
        texts = {name.decode(): value.decode("latin-1") for name, value in pairs}
        assert decoder.request(block) == RequestHead("POST", "/a.B/C", texts, None)


@pytest.mark.parametrize("huffman", [False, True])
def test_equal_sections_are_read_equally_again_and_again(huffman: bool) -> None:
    encoder, decoder = Encoder(), FieldDecoder(MAX_BYTES)
    fields = with_fields((b"x-a", b"1"), (b"user-agent", b"grpc"))
    heads = [decoder.request(encoder.encode(fields, huffman=huffman)) for _ in range(5)]
    assert all(head == heads[0] for head in heads)
    assert heads[1] is heads[2] is heads[4]  # looked up
    assert heads[0].metadata == {"x-a": "1", "user-agent": "grpc"}


@pytest.mark.parametrize(
    ("block", "kept"),
    [
        pytest.param(OPENING, True, id="static indices"),
        pytest.param(OPENING + NEWEST, True, id="dynamic index"),
        pytest.param(OPENING + b"\x00\x03x-a\x011", False, id="literal"),
        pytest.param(OPENING + ALL_HIGH, False, id="literal of high octets"),
        pytest.param(OPENING + b"\x10\x03x-a\x011", False, id="literal never indexed"),
        pytest.param(OPENING + adding(b"x-a", b"1"), False, id="literal that is added"),
        pytest.param(OPENING + Encoder().encode([("x-a", "1", True)]), False, id="huffman"),
        pytest.param(b"\x3f\xe1\x1f" + OPENING, False, id="table size"),
    ],
)
def test_what_is_remembered(block: bytes, kept: bool) -> None:
    decoder = FieldDecoder(MAX_BYTES)
    decoder.request(OPENING + adding(b"x-z", b"0"))
    first, second = decoder.request(block), decoder.request(block)
    assert first == second
    assert (first is second) is kept


def test_only_so_many_sections_are_remembered() -> None:
    decoder = FieldDecoder(MAX_BYTES)
    blocks = [OPENING + bytes((0x80 | index,)) * (1 + index % 2) for index in (15, 16, 17, 19, 20)]
    blocks += [one + last for one in blocks for last in (b"\x8f", b"\x90", b"\x91", b"\x93")]
    blocks += [one + last for one in blocks for last in (b"\x95", b"\x96", b"\x97", b"\x98")]
    assert len(set(blocks)) == len(blocks) > REMEMBERED_SECTIONS
    first = [decoder.request(block) for block in blocks]
    second = [decoder.request(block) for block in blocks]
    assert first == second
    same = [before is after for before, after in zip(first, second, strict=True)]
    assert same == [at < REMEMBERED_SECTIONS for at in range(len(blocks))]


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
def test_a_remembered_section_is_forgotten_when_the_table_changes(
    change: tuple[str, bytes], meaning: dict[str, str] | None
) -> None:
    decoder = FieldDecoder(MAX_BYTES)
    decoder.request(OPENING + adding(b"x-a", b"1"))
    block = OPENING + NEWEST
    assert decoder.request(block).metadata == {"x-a": "1"}
    assert decoder.request(block) is decoder.request(block)
    how, between = change
    if how == "request":
        decoder.request(between)
    elif how == "pairs":
        decoder.pairs(between)
    else:
        with pytest.raises(MalformedFields):
            decoder.request(between)
    if meaning is None:
        with pytest.raises(ConnectionFault) as caught:
            decoder.request(block)
        assert caught.value.code is ErrorCode.COMPRESSION_ERROR
    else:
        assert decoder.request(block).metadata == meaning


def test_a_change_inside_a_section_that_begins_with_indices() -> None:
    decoder = FieldDecoder(MAX_BYTES)
    decoder.request(OPENING + adding(b"x-a", b"1"))
    both = decoder.request(OPENING + NEWEST + adding(b"x-b", b"2") + NEWEST)
    assert both.metadata == {"x-a": "1", "x-b": "2"}
    assert decoder.request(OPENING + NEWEST).metadata == {"x-b": "2"}


def test_indices_of_two_bytes() -> None:
    encoder, decoder = Encoder(), FieldDecoder(MAX_BYTES)
    added: Fields = [(b"a%02d" % at, b"v") for at in range(100)]
    decoder.request(encoder.encode(with_fields(*added), huffman=False))
    for name, value in added[::7]:
        block = encoder.encode(with_fields((name, value)))
        assert b"\xff" in block or name >= b"a35"
        head = decoder.request(block)
        assert head.metadata == {name.decode(): "v"}
        assert decoder.request(block) is head
    block = OPENING + b"\xff\x00"  # index 127
    before = decoder.request(block).metadata
    decoder.request(OPENING + adding(b"x-a", b"1"))
    assert decoder.request(block).metadata != before


@pytest.mark.parametrize("cut", [b"\xff", b"\xff\x80"])
def test_an_index_that_is_cut_is_a_fault(cut: bytes) -> None:
    with pytest.raises(ConnectionFault):
        FieldDecoder(MAX_BYTES).request(OPENING + cut)


def test_malformed_requests_are_not_remembered_and_found_every_time() -> None:
    decoder = FieldDecoder(MAX_BYTES)
    for _ in range(3):
        with pytest.raises(MalformedFields):
            decoder.request(POST + HTTP)


def test_the_table_is_one_for_requests_and_trailers() -> None:
    encoder, decoder = Encoder(), FieldDecoder(MAX_BYTES)
    trailers: Fields = [(b"x-a", b"1")]
    assert list(decoder.pairs(encoder.encode(trailers))) == trailers
    assert decoder.request(encoder.encode(with_fields(*trailers))).metadata == {"x-a": "1"}
    assert list(decoder.pairs(encoder.encode(trailers))) == trailers


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
        FieldDecoder(MAX_BYTES).request(block)
    assert of_request.value.code is ErrorCode.COMPRESSION_ERROR
    with pytest.raises(ConnectionFault) as of_trailers:
        FieldDecoder(MAX_BYTES).pairs(block)
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
            decoder.request(block)
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
                decoder.request(block)
            assert caught.value.code is ErrorCode.COMPRESSION_ERROR
            return
        assert decoder.request(block).metadata == {"x-a": "v" * 100}


def test_empty_fields_count_too() -> None:
    section = b"\x00\x00\x00"
    assert len(list(FieldDecoder(320).pairs(section * 10))) == 10
    with pytest.raises(ConnectionFault):
        FieldDecoder(320).pairs(section * 11)


def test_a_few_bytes_may_not_become_many() -> None:
    decoder = FieldDecoder(MAX_BYTES)
    decoder.pairs(Encoder().encode([(b"x", b"v" * 3000)], huffman=False))
    assert len(decoder.request(OPENING + NEWEST * 10).metadata["x"]) == 3000
    with pytest.raises(ConnectionFault) as caught:
        decoder.request(OPENING + NEWEST * 11)
    assert caught.value.code is ErrorCode.COMPRESSION_ERROR


# What makes a request well formed.


def test_the_head_of_a_request() -> None:
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"epp:9002"),
        (b":path", b"/a.B/C"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        (b"content-length", b"0123"),
        (b"x-bytes", b"\xe4 \xff"),
        (b"x-empty", b""),
        (b"x-twice", b"first"),
        (b"x-twice", b"last"),
    ]
    assert request_head(fields) == RequestHead(
        method="POST",
        path="/a.B/C",
        metadata={
            "te": "trailers",
            "content-type": "application/grpc",
            "content-length": "0123",
            "x-bytes": "ä ÿ",
            "x-empty": "",
            "x-twice": "last",
        },
        content_length=123,
    )


@given(st.permutations([*REQUEST, (b":authority", b"here"), (b":protocol", b"x")]))
def test_pseudo_headers_come_in_any_order(fields: Fields) -> None:
    assert request_head([*fields, (b"x", b"1")]) == RequestHead("POST", "/a.B/C", {"x": "1"}, None)


@pytest.mark.parametrize("name", [b":method", b":scheme", b":path"])
def test_a_pseudo_header_that_must_be(name: bytes) -> None:
    without = [pair for pair in REQUEST if pair[0] != name]
    for fields in (without, [*without, (b"x", b"1")], [*without, (name, b"")]):
        with pytest.raises(MalformedFields):
            request_head(fields)


def test_no_fields_are_no_request() -> None:
    with pytest.raises(MalformedFields):
        request_head([])


@pytest.mark.parametrize("name", [b":method", b":scheme", b":path", b":authority", b":protocol"])
def test_a_pseudo_header_twice(name: bytes) -> None:
    once = {**dict(REQUEST), b":authority": b"here", b":protocol": b"x"}
    request_head(once.items())
    with pytest.raises(MalformedFields):
        request_head([*once.items(), (name, once[name])])


@pytest.mark.parametrize("name", [b":status", b":", b":x", b":Method", b":path ", b"::path"])
def test_a_pseudo_header_that_requests_do_not_have(name: bytes) -> None:
    with pytest.raises(MalformedFields):
        request_head([*REQUEST, (name, b"1")])


@pytest.mark.parametrize("name", [b":method", b":scheme", b":path", b":authority"])
def test_a_pseudo_header_after_a_field(name: bytes) -> None:
    once: dict[bytes, bytes] = {**dict(REQUEST), b":authority": b"here"}
    value = once.pop(name)
    with pytest.raises(MalformedFields):
        request_head([*once.items(), (b"x", b"1"), (name, value)])


@pytest.mark.parametrize(
    "name", [b"x", b"x-1", b"0", b"grpc-timeout", b"a!#$%&'*+-.^_`|~z", b"x" * 300]
)
def test_a_name_of_a_field(name: bytes) -> None:
    assert request_head(with_fields((name, b"1"))).metadata == {name.decode(): "1"}
    check_trailers([(name, b"1")])


BAD_NAMES = [
    b"",
    b"X",
    b"x-Y",
    b"x y",
    b" x",
    b"x\n",
    b"\n",
    b"x:",
    b"x\x00",
    b"x\x7f",
    b"\xe4",
    b"(x)",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_what_is_no_name_of_a_field(name: bytes) -> None:
    with pytest.raises(MalformedFields):
        request_head(with_fields((name, b"1")))
    with pytest.raises(MalformedFields):
        check_trailers([(b"x", b"1"), (name, b"1")])


@given(st.integers(0, 255))
def test_every_octet_of_a_name(octet: int) -> None:
    """RFC 9110 section 5.6.2, less upper case: RFC 9113 section 8.2."""
    allowed = chr(octet) in "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
    fields = with_fields((b"x" + bytes((octet,)), b"1"))
    if allowed:
        assert len(request_head(fields).metadata) == 1
    else:
        with pytest.raises(MalformedFields):
            request_head(fields)


@pytest.mark.parametrize(
    "name", [b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"]
)
def test_a_field_of_a_connection(name: bytes) -> None:
    with pytest.raises(MalformedFields):
        request_head(with_fields((name, b"close")))
    with pytest.raises(MalformedFields):
        check_trailers([(name, b"close")])


@pytest.mark.parametrize("value", [b"", b"gzip", b"trailers, gzip", b"Trailers", b"trailers "])
def test_te_other_than_trailers(value: bytes) -> None:
    with pytest.raises(MalformedFields):
        request_head(with_fields((b"te", value)))


@pytest.mark.parametrize("octet", [b"\x00", b"\n", b"\r"])
@pytest.mark.parametrize("around", [(b"", b""), (b"a", b"b"), (b"", b"b"), (b"a", b"")])
def test_values_with_line_breaks_or_zeros(octet: bytes, around: tuple[bytes, bytes]) -> None:
    with pytest.raises(MalformedFields):
        request_head(with_fields((b"x", octet.join(around))))


@pytest.mark.parametrize(
    ("value", "number"),
    [(b"0", 0), (b"5", 5), (b"007", 7), (b"9" * 18, 10**18 - 1)],
)
def test_a_content_length(value: bytes, number: int) -> None:
    assert request_head(with_fields((b"content-length", value))).content_length == number


@pytest.mark.parametrize(
    "value", [b"", b"-1", b"+1", b"1.0", b"0x1", b"1 ", b"1,1", b"1_0", b"\xb2", b"9" * 19]
)
def test_what_is_no_content_length(value: bytes) -> None:
    with pytest.raises(MalformedFields):
        request_head(with_fields((b"content-length", value)))


@pytest.mark.parametrize("value", [b" a", b"a ", b"\ta", b"a\t", b" "])
def test_values_with_blanks_around_them(value: bytes) -> None:
    with pytest.raises(MalformedFields):
        request_head([*REQUEST, (b"x", value)])
    assert request_head([*REQUEST, (b"x", b"a b")]).metadata["x"] == "a b"


@pytest.mark.parametrize("value", [b"/a\r\nb", b"/a\0", b" /a"])
def test_values_of_pseudo_headers_and_trailers_are_checked_too(value: bytes) -> None:
    with pytest.raises(MalformedFields):
        request_head([(b":method", b"POST"), (b":scheme", b"http"), (b":path", value)])
    with pytest.raises(MalformedFields):
        check_trailers([(b"x", value)])


def test_two_lengths_must_be_the_same() -> None:
    five, seven = (b"content-length", b"5"), (b"content-length", b"7")
    assert request_head([*REQUEST, five, five]).content_length == 5
    with pytest.raises(MalformedFields):
        request_head([*REQUEST, five, seven])


@pytest.mark.parametrize("fields", [[], [(b"x", b"1")], [(b"x", b"1"), (b"x", b"2")]])
def test_trailers(fields: Fields) -> None:
    check_trailers(fields)


@pytest.mark.parametrize("name", [b":path", b":status", b":x"])
def test_trailers_have_no_pseudo_headers(name: bytes) -> None:
    with pytest.raises(MalformedFields):
        check_trailers([(name, b"1")])
    with pytest.raises(MalformedFields):
        check_trailers([(b"x", b"1"), (name, b"1")])


# Writing.

LENGTHS = [0, 1, 126, 127, 128, 129, 254, 255, 256, 16_510, 16_511, 16_512, 40_000]


@pytest.mark.parametrize("length", LENGTHS)
def test_lengths_of_literals(length: int) -> None:
    decoder = Decoder(1 << 20)
    name, value = "n" * max(length, 1), "v" * length
    assert list(decoder.decode(literal(name, "x"))) == [(name, "x")]
    assert list(decoder.decode(literal("n", value))) == [("n", value)]
    assert not decoder.header_table.dynamic_entries


@given(
    st.lists(
        st.tuples(
            st.text("abc-:", min_size=1, max_size=200),
            st.text(st.characters(max_codepoint=255), max_size=400),
        ),
        max_size=6,
    )
)
def test_literals_are_read_as_they_were_meant(fields: list[tuple[str, str]]) -> None:
    section = b"".join(literal(*field) for field in fields)
    assert list(Decoder().decode(section, raw=True)) == [
        (name.encode(), value.encode("latin-1")) for name, value in fields
    ]


@given(st.text("abc-", min_size=1, max_size=200), st.text("0123xyz", max_size=400))
def test_literals_are_as_hpack_writes_them_never_indexed(name: str, value: str) -> None:
    """But for the bit that forbids others to index them."""
    theirs = Encoder().encode([(name, value, True)], huffman=False)
    assert theirs[0] == 0x10
    assert literal(name, value) == b"\x00" + theirs[1:]
