"""The messages of calls in any pieces, and the status, deadlines and fields of gRPC."""

from __future__ import annotations

import gzip
import random
import re
import struct
import zlib
from collections.abc import Callable
from urllib.parse import unquote

import pytest
from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from epp.extproc.transport.http2 import grpc_messages
from epp.extproc.transport.http2.fields import RequestHead
from epp.extproc.transport.http2.grpc_messages import (
    CallFault,
    MessageReader,
    is_grpc,
    only_trailers,
    timeout_of,
    trailers,
)
from epp.extproc.transport.interfaces import Status
from tests.helpers.http2 import framed

PLENTY = 1 << 20
ZIP: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
ENCODINGS = st.sampled_from(["", "identity", "gzip", "deflate"])
MESSAGES = st.lists(
    st.tuples(st.one_of(st.binary(max_size=20), st.integers(0, 9000).map(bytes)), st.booleans()),
    max_size=8,
)


def fields(section: bytes) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in Decoder().decode(section)]


def head(method: str = "POST", path: str = "/a.B/C", **metadata: str) -> RequestHead:
    named = {name.replace("_", "-"): value for name, value in metadata.items()}
    return RequestHead(method, path, named, None)


def written(message: bytes, encoding: str, zipped: bool) -> bytes:
    if zipped and encoding in ZIP:
        return framed(ZIP[encoding](message), zipped=True)
    return framed(message)


def fault_of(reader: MessageReader, data: bytes) -> CallFault:
    with pytest.raises(CallFault) as caught:
        reader.feed(data)
    return caught.value


# Messages.


@given(ENCODINGS, MESSAGES, st.randoms(use_true_random=False))
def test_messages_come_in_any_pieces(
    encoding: str, messages: list[tuple[bytes, bool]], cuts: random.Random
) -> None:
    data = b"".join(written(message, encoding, zipped) for message, zipped in messages)
    reader = MessageReader(encoding, PLENTY)
    got: list[bytes] = []
    at = 0
    while at < len(data):
        size = cuts.choice((0, 1, 2, 3, 5, 6, 100, 4096, 20_000))
        piece = data[at : at + size]
        got += reader.feed(memoryview(piece) if cuts.random() < 0.5 else piece)
        at += size
    assert got == [message for message, _ in messages]
    assert all(type(message) is bytes for message in got)
    assert not reader.inside


@pytest.mark.parametrize("encoding", ["", "gzip"])
@given(messages=MESSAGES.filter(bool), cuts=st.randoms(use_true_random=False))
def test_where_a_message_is_incomplete(
    encoding: str, messages: list[tuple[bytes, bool]], cuts: random.Random
) -> None:
    data, ends = b"", {0}
    for message, zipped in messages:
        data += written(message, encoding, zipped)
        ends.add(len(data))
    reader = MessageReader(encoding, PLENTY)
    at = count = 0
    while at < len(data):
        size = cuts.choice((1, 4, 5, 6, 1000))
        count += len(reader.feed(data[at : at + size]))
        at = min(at + size, len(data))
        assert reader.inside == (at not in ends)
        assert count == sum(end <= at for end in ends) - 1


@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_one_piece_may_hold_many_messages(kind: Callable[[bytes], bytes]) -> None:
    reader = MessageReader("", PLENTY)
    data = framed(b"a") + framed(b"") + framed(b"b" * 5000) + framed(b"c")
    assert reader.feed(kind(data)) == [b"a", b"", b"b" * 5000, b"c"]
    assert reader.feed(kind(framed(b""))) == [b""]
    assert reader.feed(kind(b"")) == []


def test_pieces_that_look_like_a_message_of_their_own() -> None:
    data = framed(b"") + framed(bytes(1 << 16))
    looks = data[3:9]
    assert struct.unpack_from(">BI", looks) == (0, len(looks) - 5)
    reader = MessageReader("", PLENTY)
    assert reader.feed(data[:3]) == []
    assert reader.feed(looks) == [b""]
    assert reader.feed(data[9:20]) == []
    assert reader.feed(framed(b"inside")) == []
    assert reader.inside


def test_a_message_does_not_change_when_its_pieces_do() -> None:
    reader = MessageReader("", PLENTY)
    assert reader.feed(framed(b"abcdef")[:8]) == []
    assert reader.feed(memoryview(b"de")) == []
    [first] = reader.feed(b"f" + framed(b"uvwxyz")[:7])
    [second] = reader.feed(b"wxyz")
    assert (first, second) == (b"abcdef", b"uvwxyz")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_and_plain_messages_in_turn(encoding: str) -> None:
    reader = MessageReader(encoding, PLENTY)
    zipped = framed(ZIP[encoding](b"one"), zipped=True)
    assert reader.feed(zipped + framed(b"two") + zipped) == [b"one", b"two", b"one"]
    assert reader.feed(framed(b"two")) == [b"two"]
    assert reader.feed(zipped) == [b"one"]
    assert reader.feed(framed(ZIP[encoding](b""), zipped=True)) == [b""]


@pytest.mark.parametrize("encoding", ["zstd", "br", "GZIP", "gzip,deflate", " ", "x-gzip"])
def test_an_encoding_that_is_not_known(encoding: str) -> None:
    with pytest.raises(CallFault, match=re.escape(encoding)) as caught:
        MessageReader(encoding, PLENTY)
    assert caught.value.status is Status.UNIMPLEMENTED


# Limits.


@pytest.mark.parametrize("pieces", [1, 2, 7])
@pytest.mark.parametrize("limit", [0, 1, 1000])
def test_a_message_may_have_just_its_limit(limit: int, pieces: int) -> None:
    reader = MessageReader("", limit)
    data = framed(bytes(limit))
    cut = len(data) // pieces
    got = [reader.feed(data[: cut * (pieces - 1)]), reader.feed(data[cut * (pieces - 1) :])]
    assert got[0] + got[1] == [bytes(limit)]


@pytest.mark.parametrize("limit", [0, 1, 1000])
def test_a_message_over_its_limit(limit: int) -> None:
    for data in (framed(bytes(limit + 1)), framed(b"") + framed(bytes(limit + 1))):
        fault = fault_of(MessageReader("", limit), data)
        assert fault.status is Status.RESOURCE_EXHAUSTED
        assert str(limit + 1) in fault.text


@pytest.mark.parametrize("flag", [0, 1])
def test_a_message_is_too_large_before_it_comes(flag: int) -> None:
    reader = MessageReader("gzip", 1000)
    assert reader.feed(struct.pack(">BI", flag, 1001)[:4]) == []
    fault = fault_of(reader, struct.pack(">BI", flag, 1001)[4:])
    assert fault.status is Status.RESOURCE_EXHAUSTED
    fault = fault_of(MessageReader("gzip", 1000), struct.pack(">BI", flag, (1 << 32) - 1))
    assert fault.status is Status.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("limit", [30, 1000, 100_000])
def test_the_limit_holds_for_what_is_decompressed(limit: int, encoding: str) -> None:
    at_limit = framed(ZIP[encoding](bytes(limit)), zipped=True)
    assert MessageReader(encoding, limit).feed(at_limit) == [bytes(limit)]
    over = framed(ZIP[encoding](bytes(limit + 1)), zipped=True)
    fault = fault_of(MessageReader(encoding, limit), over)
    assert fault.status is Status.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_not_unpacked_beyond_the_limit(encoding: str) -> None:
    bomb = framed(ZIP[encoding](bytes(20 << 20)), zipped=True)
    fault = fault_of(MessageReader(encoding, 50_000), bomb)
    assert fault.status is Status.RESOURCE_EXHAUSTED
    assert "50001 bytes" in fault.text  # nobody has seen the rest


def test_a_compressed_message_that_is_larger_than_what_it_holds() -> None:
    message = random.Random(1).randbytes(100)
    packed = gzip.compress(message)
    assert len(packed) > len(message)
    fault = fault_of(MessageReader("gzip", 100), framed(packed, zipped=True))
    assert fault.status is Status.RESOURCE_EXHAUSTED
    assert MessageReader("gzip", len(packed)).feed(framed(packed, zipped=True)) == [message]


# What is no message.


@pytest.mark.parametrize("encoding", ["", "identity"])
@pytest.mark.parametrize("message", [b"", b"x", gzip.compress(b"x", mtime=0)])
def test_compressed_without_an_encoding(message: bytes, encoding: str) -> None:
    fault = fault_of(MessageReader(encoding, PLENTY), framed(message, zipped=True))
    assert fault.status is Status.INTERNAL


def test_what_came_before_a_fault_is_not_lost() -> None:
    reader = MessageReader("", 10)
    with pytest.raises(CallFault) as caught:
        reader.feed(framed(b"one") + framed(b"two") + framed(bytes(11)))
    assert caught.value.complete == [b"one", b"two"]


@pytest.mark.parametrize("after", [b"garbage", gzip.compress(b"two", mtime=0)])
def test_bytes_after_the_end_of_what_is_compressed(after: bytes) -> None:
    message = gzip.compress(b"one") + after
    with pytest.raises(CallFault, match="goes on after its end") as caught:
        MessageReader("gzip", 1000).feed(struct.pack(">BI", 1, len(message)) + message)
    assert caught.value.status is Status.INTERNAL


def test_a_small_rest_does_not_keep_a_whole_read() -> None:
    reader = MessageReader("", 1 << 20)
    read = bytearray(framed(bytes(32_000)) + framed(b"xy")[:6])
    assert reader.feed(memoryview(read)) == [bytes(32_000)]
    read.clear()  # raises BufferError while somebody still looks at it
    assert reader.feed(b"y") == [b"xy"]


@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize("flag", [2, 3, 128, 255])
def test_a_flag_that_means_nothing(flag: int, encoding: str) -> None:
    for data in (bytes((flag,)) + framed(b"x")[1:], bytes((flag, 0, 0, 0, 0))):
        assert fault_of(MessageReader(encoding, PLENTY), data).status is Status.INTERNAL


def damaged(message: bytes) -> bytes:
    """With another checksum."""
    return message[:-6] + bytes((message[-6] ^ 1,)) + message[-5:]


GZIPPED, DEFLATED = gzip.compress(b"message" * 9), zlib.compress(b"message" * 9)
RAW = zlib.compressobj(wbits=-15)
RAW_DEFLATED = RAW.compress(b"message" * 9) + RAW.flush()


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        pytest.param("gzip", b"", id="nothing"),
        pytest.param("gzip", b"not gzip at all", id="noise"),
        pytest.param("gzip", GZIPPED[:5], id="half a head"),
        pytest.param("gzip", GZIPPED[:-9], id="half a body"),
        pytest.param("gzip", GZIPPED[:-1], id="half a checksum"),
        pytest.param("gzip", damaged(GZIPPED), id="wrong checksum"),
        pytest.param("gzip", DEFLATED, id="deflate as gzip"),
        pytest.param("deflate", b"", id="nothing deflated"),
        pytest.param("deflate", GZIPPED, id="gzip as deflate"),
        pytest.param("deflate", RAW_DEFLATED, id="without its head"),
        pytest.param("deflate", DEFLATED[:-1], id="half a checksum of deflate"),
        pytest.param(
            "deflate", DEFLATED[:-1] + bytes((DEFLATED[-1] ^ 1,)), id="wrong checksum of deflate"
        ),
    ],
)
def test_a_message_that_is_not_what_its_encoding_says(encoding: str, message: bytes) -> None:
    fault = fault_of(MessageReader(encoding, PLENTY), framed(message, zipped=True))
    assert fault.status is Status.INTERNAL


@given(ENCODINGS, st.lists(st.binary(max_size=30), max_size=5))
def test_whatever_comes_is_read_or_refused(encoding: str, pieces: list[bytes]) -> None:
    reader = MessageReader(encoding, 20)
    for piece in pieces:
        try:
            messages = reader.feed(piece)
        except CallFault:
            break
        assert all(len(message) <= 20 for message in messages)


# What a request says.


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1H", 3600.0),
        ("2M", 120.0),
        ("30S", 30.0),
        ("1500m", 1.5),
        ("250u", 250e-6),
        ("999n", 999e-9),
        ("0S", 0.0),
        ("007S", 7.0),
        ("99999999S", 99_999_999.0),
        ("99999999H", 99_999_999.0 * 3600),
        ("100000000S", None),
        ("", None),
        ("S", None),
        ("1", None),
        ("10", None),
        ("1s", None),
        ("1h", None),
        ("1 S", None),
        (" 1S", None),
        ("1S ", None),
        ("-1S", None),
        ("+1S", None),
        ("1.5S", None),
        ("1_0S", None),
        ("1e3S", None),
        ("²S", None),
        ("1ms", None),
    ],
)
def test_timeouts(text: str, seconds: float | None) -> None:
    expected = None if seconds is None else pytest.approx(seconds)
    assert timeout_of(head(grpc_timeout=text)) == expected


def test_no_timeout() -> None:
    assert timeout_of(head()) is None


@pytest.mark.parametrize(
    ("method", "content_type", "expected"),
    [
        ("POST", "application/grpc", True),
        ("POST", "application/grpc+proto", True),
        ("POST", "application/grpc+json", True),
        ("POST", "application/grpc;charset=utf-8", True),
        ("POST", "application/grpc-web", False),
        ("POST", "application/grpc-web+proto", False),
        ("POST", "application/grpcweb", False),
        ("POST", "application/json", False),
        ("POST", "text/plain; application/grpc", False),
        ("POST", "", False),
        ("GET", "application/grpc", False),
        ("post", "application/grpc", False),
        ("PUT", "application/grpc+proto", False),
    ],
)
def test_what_is_grpc(method: str, content_type: str, expected: bool) -> None:
    assert is_grpc(head(method, content_type=content_type)) is expected


def test_without_a_content_type_nothing_is_grpc() -> None:
    assert not is_grpc(head())


# What is answered.

OPENING = [
    (":status", "200"),
    ("content-type", "application/grpc"),
    ("grpc-accept-encoding", "identity,deflate,gzip"),
]


def test_the_headers_of_an_answer() -> None:
    assert fields(grpc_messages.RESPONSE_HEADERS) == OPENING


def test_we_say_what_we_can_read() -> None:
    for encoding in grpc_messages.ACCEPTED.split(","):
        MessageReader(encoding, 1)
    assert {*grpc_messages.ACCEPTED.split(",")} == {"identity", *grpc_messages.ENCODINGS}


def test_the_answer_to_what_is_not_grpc() -> None:
    assert fields(grpc_messages.NOT_GRPC_HEADERS) == [
        (":status", "415"),
        ("content-type", "text/plain"),
        ("content-length", str(len(grpc_messages.NOT_GRPC_TEXT))),
    ]


@pytest.mark.parametrize("status", Status)
def test_trailers_with_a_status(status: Status) -> None:
    expected = [("grpc-status", str(status.value))]
    assert fields(trailers(status, "")) == expected
    assert fields(only_trailers(status, "")) == OPENING + expected
    expected += [("grpc-message", "no room")]
    assert fields(trailers(status, "no room")) == expected
    assert fields(only_trailers(status, "no room")) == OPENING + expected


def test_trailers_of_most_calls() -> None:
    assert fields(grpc_messages.TRAILERS_OK) == [("grpc-status", "0")]
    assert trailers(Status.OK, "") == grpc_messages.TRAILERS_OK


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("plain text, no more", "plain text, no more"),
        ("100%", "100%25"),
        ("a\nb\r\x00", "a%0Ab%0D%00"),
        ("ä", "%C3%A4"),
        ("💥", "%F0%9F%92%A5"),
        ("\x7f", "%7F"),
    ],
)
def test_texts_are_percent_encoded(text: str, encoded: str) -> None:
    assert dict(fields(trailers(Status.INTERNAL, text)))["grpc-message"] == encoded


@given(st.text(max_size=1000))
def test_texts_are_read_as_they_were_meant(text: str) -> None:
    section = only_trailers(Status.INTERNAL, text)
    values = dict(fields(section))
    assert unquote(values.get("grpc-message", ""), errors="strict") == text[:400]
    # Percent-Byte-Unencoded and Percent-Byte-Encoded of the protocol.
    assert re.fullmatch(r"([ -$&-~]|%[0-9A-F]{2})*", values.get("grpc-message", ""))


@pytest.mark.parametrize("character", ["x", "%", "ä", "💥", "\x00"])
def test_any_text_fits_one_frame(character: str) -> None:
    section = only_trailers(Status.INTERNAL, character * 100_000)
    assert len(section) <= 16_384
    assert unquote(dict(fields(section))["grpc-message"]) == character * 400


def test_a_text_that_no_utf8_can_carry() -> None:
    assert unquote(dict(fields(trailers(Status.INTERNAL, "a\ud800b")))["grpc-message"]) == "a?b"
