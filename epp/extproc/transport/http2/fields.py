"""Fields of requests: what makes one, and a request of them, well formed (RFC 9113 section 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

REQUIRED: Final = (b":method", b":scheme", b":path")
PSEUDO: Final = frozenset((*REQUIRED, b":authority", b":protocol"))
OF_A_CONNECTION: Final = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade")
)
_NAME_OCTETS: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"  # RFC 9110 5.6.2

FIELD_OVERHEAD: Final = 32  # what a field counts beside its octets (RFC 7541 section 4.1)


class MalformedFields(Exception):
    """The request is malformed (RFC 9113 section 8.1.1), which ends its stream only."""


@dataclass(slots=True, eq=False)
class Field:
    """One field line. `fault` says why no request or trailers may have it; empty if they may."""

    name: bytes
    value: bytes
    key: str
    text: str
    fault: str

    @property
    def size(self) -> int:
        return len(self.name) + len(self.value) + FIELD_OVERHEAD


@dataclass(frozen=True, slots=True)
class RequestHead:
    method: str
    path: str
    metadata: Mapping[str, str]  # without pseudo headers; the last of equals counts
    content_length: int | None


def field_of(name: bytes, value: bytes) -> Field:
    """The rules of RFC 9113 sections 8.2.1 and 8.2.2."""
    fault = ""
    if b"\n" in value or b"\r" in value or b"\0" in value or value.strip(b" \t") != value:
        fault = f"a value of {name!r} with a line break, zero or blanks around it"
    elif name[:1] != b":":
        if not name or name.translate(None, _NAME_OCTETS):
            fault = f"field name {name!r}"
        elif name in OF_A_CONNECTION:
            fault = f"{name!r} belongs to a connection"
        elif name == b"te" and value != b"trailers":
            fault = "TE other than trailers"
    return Field(name, value, name.decode("latin-1"), value.decode("latin-1"), fault)


def request_head(fields: Sequence[Field]) -> RequestHead:
    """The rules of RFC 9113 section 8.3. Raises MalformedFields."""
    pseudo: dict[bytes, str] = {}
    metadata: dict[str, str] = {}
    for field in fields:
        if field.fault:
            raise MalformedFields(field.fault)
        if field.name[:1] == b":":
            if metadata:
                raise MalformedFields("a pseudo header after others")
            if field.name not in PSEUDO or field.name in pseudo:
                raise MalformedFields(f"pseudo header {field.name!r} unknown or twice")
            pseudo[field.name] = field.text
            continue
        key, text = field.key, field.text
        if key == "content-length" and metadata.get(key, text) != text:
            raise MalformedFields("two different content-length")
        metadata[key] = text
    for name in REQUIRED:
        if not pseudo.get(name):
            raise MalformedFields("method, scheme or path is missing or empty")
    length = metadata.get("content-length")
    if length is not None and not (length.isascii() and length.isdigit() and len(length) < 19):
        raise MalformedFields("content-length is no number")
    return RequestHead(
        pseudo[b":method"],
        pseudo[b":path"],
        metadata,
        None if length is None else int(length),
    )


def check_trailers(fields: Sequence[Field]) -> None:
    """Nothing is read from them. Raises MalformedFields."""
    for field in fields:
        if field.fault:
            raise MalformedFields(field.fault)
        if field.name[:1] == b":":
            raise MalformedFields("a pseudo header in trailers")


def literal(name: str, value: str) -> bytes:
    """One field without indexing and without Huffman coding (RFC 7541 section 6.2.2)."""
    key, text = name.encode("ascii"), value.encode("latin-1")
    return b"\x00" + _integer_of(len(key)) + key + _integer_of(len(text)) + text


def _integer_of(value: int) -> bytes:
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
