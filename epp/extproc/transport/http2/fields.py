"""Field sections of requests: HPACK (RFC 7541), and what makes a request well formed.

Decoding is the `hpack` library's. As gateways repeat themselves, a section of nothing but indices
is looked up instead, for as long as the dynamic table has not changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hpack import Decoder
from hpack.exceptions import HPACKError

from epp.extproc.transport.http2.faults import ConnectionFault, ErrorCode

REMEMBERED_SECTIONS: Final = 64

Pairs = Iterable[tuple[bytes, bytes]]

REQUIRED: Final = (b":method", b":scheme", b":path")
PSEUDO: Final = frozenset((*REQUIRED, b":authority", b":protocol"))
OF_A_CONNECTION: Final = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade")
)


_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")  # RFC 9110 section 5.6.2, lower case
# A line break or zero anywhere, or blank space around it (RFC 9113 section 8.2.1).
_BAD_VALUE: Final = re.compile(rb"[\x00\r\n]|\A[ \t]|[ \t]\Z")


class MalformedFields(Exception):
    """The request is malformed (RFC 9113 section 8.1.1), which ends its stream only."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    method: str
    path: str
    metadata: Mapping[str, str]  # without pseudo headers; the last of equals counts
    content_length: int | None


class FieldDecoder:
    """One a connection, as the dynamic table is."""

    __slots__ = ("_decoder", "_heads")

    def __init__(self, max_header_bytes: int) -> None:
        self._decoder = Decoder(max_header_list_size=max_header_bytes)
        self._heads: dict[bytes, RequestHead] = {}

    def request(self, block: bytes) -> RequestHead:
        """Raises MalformedFields, or ConnectionFault when the table is out of step."""
        head = self._heads.get(block)
        if head is None:
            pairs = self.pairs(block)
            head = request_head(pairs)
            if _only_indices(block) and len(self._heads) < REMEMBERED_SECTIONS:
                self._heads[block] = head
        return head

    def pairs(self, block: bytes) -> Pairs:
        """The fields as they stand. Raises ConnectionFault."""
        if not _only_indices(block):
            self._heads.clear()  # it may have changed the table that they were made from
        try:
            return [(name, value) for name, value in self._decoder.decode(block, raw=True)]
        except HPACKError as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"HPACK: {error}") from error


def _only_indices(block: bytes) -> bool:
    """Literals and table sizes begin with 0; an index of 127 and more goes on in further bytes."""
    at, size = 0, len(block)
    while at < size:
        octet = block[at]
        if octet < 0x80:
            return False
        at += 1
        if octet == 0xFF:
            while at < size and block[at] >= 0x80:
                at += 1
            at += 1
    return at == size and size > 0


def request_head(pairs: Pairs) -> RequestHead:
    """The rules of RFC 9113 sections 8.2 and 8.3. Raises MalformedFields."""
    pseudo: dict[bytes, bytes] = {}
    metadata: dict[str, str] = {}
    for name, value in pairs:
        _check_value(name, value)
        if name[:1] == b":":
            if metadata:
                raise MalformedFields("a pseudo header after others")
            if name not in PSEUDO or name in pseudo:
                raise MalformedFields(f"pseudo header {name!r} unknown or twice")
            pseudo[name] = value
            continue
        _check_name(name)
        if name == b"te" and value != b"trailers":
            raise MalformedFields("TE other than trailers")
        key, text = name.decode("ascii"), value.decode("latin-1")
        if key == "content-length" and metadata.get(key, text) != text:
            raise MalformedFields("two different content-length")
        metadata[key] = text
    if any(not pseudo.get(name) for name in REQUIRED):
        raise MalformedFields("method, scheme or path is missing or empty")
    length = metadata.get("content-length")
    if length is not None and not (length.isascii() and length.isdigit() and len(length) < 19):
        raise MalformedFields("content-length is no number")
    return RequestHead(
        method=pseudo[b":method"].decode("latin-1"),
        path=pseudo[b":path"].decode("latin-1"),
        metadata=metadata,
        content_length=None if length is None else int(length),
    )


def check_trailers(pairs: Pairs) -> None:
    """Nothing is read from them. Raises MalformedFields."""
    for name, value in pairs:
        _check_name(name)
        _check_value(name, value)
        if name[:1] == b":":
            raise MalformedFields("a pseudo header in trailers")


def _check_name(name: bytes) -> None:
    if _NAME.fullmatch(name) is None and name[:1] != b":":
        raise MalformedFields(f"field name {name!r}")
    if name in OF_A_CONNECTION:
        raise MalformedFields(f"{name!r} belongs to a connection")


def _check_value(name: bytes, value: bytes) -> None:
    if _BAD_VALUE.search(value) is not None:
        raise MalformedFields(f"a value of {name!r} with a line break, zero or blanks around it")


def literal(name: str, value: str) -> bytes:
    """One field without indexing and without Huffman coding (RFC 7541 section 6.2.2)."""
    key, text = name.encode("ascii"), value.encode("latin-1")
    return b"\x00" + _integer(len(key)) + key + _integer(len(text)) + text


def _integer(value: int) -> bytes:
    """With a prefix of seven bits (RFC 7541 section 5.1)."""
    if value < 0x7F:
        return bytes((value,))
    value -= 0x7F
    octets = bytearray(b"\x7f")
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)
