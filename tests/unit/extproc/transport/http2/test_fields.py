"""What makes fields and requests well formed, and how our own are written."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from epp.extproc.transport.http2.fields import (
    MalformedFields,
    RequestHead,
    check_trailers,
    field_of,
    literal,
    request_head,
)

Fields = list[tuple[bytes, bytes]]

REQUEST: Fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a.B/C")]


def with_fields(*more: tuple[bytes, bytes]) -> Fields:
    return [*REQUEST, *more]


def head_of(pairs: Iterable[tuple[bytes, bytes]]) -> RequestHead:
    return request_head([field_of(*pair) for pair in pairs])


def check(pairs: Iterable[tuple[bytes, bytes]]) -> None:
    check_trailers([field_of(*pair) for pair in pairs])


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
    assert head_of(fields) == RequestHead(
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
    assert head_of([*fields, (b"x", b"1")]) == RequestHead("POST", "/a.B/C", {"x": "1"}, None)


@pytest.mark.parametrize("name", [b":method", b":scheme", b":path"])
def test_a_pseudo_header_that_must_be(name: bytes) -> None:
    without = [pair for pair in REQUEST if pair[0] != name]
    for fields in (without, [*without, (b"x", b"1")], [*without, (name, b"")]):
        with pytest.raises(MalformedFields):
            head_of(fields)


def test_no_fields_are_no_request() -> None:
    with pytest.raises(MalformedFields):
        head_of([])


@pytest.mark.parametrize("name", [b":method", b":scheme", b":path", b":authority", b":protocol"])
def test_a_pseudo_header_twice(name: bytes) -> None:
    once = {**dict(REQUEST), b":authority": b"here", b":protocol": b"x"}
    head_of(once.items())
    with pytest.raises(MalformedFields):
        head_of([*once.items(), (name, once[name])])


@pytest.mark.parametrize("name", [b":status", b":", b":x", b":Method", b":path ", b"::path"])
def test_a_pseudo_header_that_requests_do_not_have(name: bytes) -> None:
    with pytest.raises(MalformedFields):
        head_of([*REQUEST, (name, b"1")])


@pytest.mark.parametrize("name", [b":method", b":scheme", b":path", b":authority"])
def test_a_pseudo_header_after_a_field(name: bytes) -> None:
    once: dict[bytes, bytes] = {**dict(REQUEST), b":authority": b"here"}
    value = once.pop(name)
    with pytest.raises(MalformedFields):
        head_of([*once.items(), (b"x", b"1"), (name, value)])


@pytest.mark.parametrize(
    "name", [b"x", b"x-1", b"0", b"grpc-timeout", b"a!#$%&'*+-.^_`|~z", b"x" * 300]
)
def test_a_name_of_a_field(name: bytes) -> None:
    assert head_of(with_fields((name, b"1"))).metadata == {name.decode(): "1"}
    check([(name, b"1")])


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
        head_of(with_fields((name, b"1")))
    with pytest.raises(MalformedFields):
        check([(b"x", b"1"), (name, b"1")])


@given(st.integers(0, 255))
def test_every_octet_of_a_name(octet: int) -> None:
    """RFC 9110 section 5.6.2, less upper case: RFC 9113 section 8.2."""
    allowed = chr(octet) in "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
    fields = with_fields((b"x" + bytes((octet,)), b"1"))
    if allowed:
        assert len(head_of(fields).metadata) == 1
    else:
        with pytest.raises(MalformedFields):
            head_of(fields)


@pytest.mark.parametrize(
    "name", [b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"]
)
def test_a_field_of_a_connection(name: bytes) -> None:
    with pytest.raises(MalformedFields):
        head_of(with_fields((name, b"close")))
    with pytest.raises(MalformedFields):
        check([(name, b"close")])


@pytest.mark.parametrize("value", [b"", b"gzip", b"trailers, gzip", b"Trailers", b"trailers "])
def test_te_other_than_trailers(value: bytes) -> None:
    with pytest.raises(MalformedFields):
        head_of(with_fields((b"te", value)))


@pytest.mark.parametrize("octet", [b"\x00", b"\n", b"\r"])
@pytest.mark.parametrize("around", [(b"", b""), (b"a", b"b"), (b"", b"b"), (b"a", b"")])
def test_values_with_line_breaks_or_zeros(octet: bytes, around: tuple[bytes, bytes]) -> None:
    with pytest.raises(MalformedFields):
        head_of(with_fields((b"x", octet.join(around))))


@pytest.mark.parametrize(
    ("value", "number"),
    [(b"0", 0), (b"5", 5), (b"007", 7), (b"9" * 18, 10**18 - 1)],
)
def test_a_content_length(value: bytes, number: int) -> None:
    assert head_of(with_fields((b"content-length", value))).content_length == number


@pytest.mark.parametrize(
    "value", [b"", b"-1", b"+1", b"1.0", b"0x1", b"1 ", b"1,1", b"1_0", b"\xb2", b"9" * 19]
)
def test_what_is_no_content_length(value: bytes) -> None:
    with pytest.raises(MalformedFields):
        head_of(with_fields((b"content-length", value)))


@pytest.mark.parametrize("value", [b" a", b"a ", b"\ta", b"a\t", b" "])
def test_values_with_blanks_around_them(value: bytes) -> None:
    with pytest.raises(MalformedFields):
        head_of([*REQUEST, (b"x", value)])
    assert head_of([*REQUEST, (b"x", b"a b")]).metadata["x"] == "a b"


@pytest.mark.parametrize("value", [b"/a\r\nb", b"/a\0", b" /a"])
def test_values_of_pseudo_headers_and_trailers_are_checked_too(value: bytes) -> None:
    with pytest.raises(MalformedFields):
        head_of([(b":method", b"POST"), (b":scheme", b"http"), (b":path", value)])
    with pytest.raises(MalformedFields):
        check([(b"x", value)])


def test_two_lengths_must_be_the_same() -> None:
    five, seven = (b"content-length", b"5"), (b"content-length", b"7")
    assert head_of([*REQUEST, five, five]).content_length == 5
    with pytest.raises(MalformedFields):
        head_of([*REQUEST, five, seven])


@pytest.mark.parametrize("fields", [[], [(b"x", b"1")], [(b"x", b"1"), (b"x", b"2")]])
def test_trailers(fields: Fields) -> None:
    check(fields)


@pytest.mark.parametrize("name", [b":path", b":status", b":x"])
def test_trailers_have_no_pseudo_headers(name: bytes) -> None:
    with pytest.raises(MalformedFields):
        check([(name, b"1")])
    with pytest.raises(MalformedFields):
        check([(b"x", b"1"), (name, b"1")])


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
