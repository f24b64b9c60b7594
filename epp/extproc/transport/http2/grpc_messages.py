"""gRPC on HTTP/2: its length-prefixed messages, compression, status and answers.

Follows the protocol description of the gRPC project ("gRPC over HTTP2") and its compression page.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from epp.extproc.transport.http2.fields import RequestHead, literal
from epp.extproc.transport.interfaces import Status

PREFIX: Final = struct.Struct(">BI")
PREFIX_BYTES: Final = PREFIX.size
VIEWED_BYTES: Final = 4096  # payloads from here on are not copied before their message is whole
CONTENT_TYPE: Final = "application/grpc"

# wbits of zlib, by grpc-encoding
ENCODINGS: Final[Mapping[str, int]] = {"gzip": 31, "deflate": 15}
ACCEPTED: Final = "identity,deflate,gzip"

STATUS_200: Final = b"\x88"  # an index of the static table
_OPENING: Final = STATUS_200 + literal("content-type", CONTENT_TYPE)
RESPONSE_HEADERS: Final = _OPENING + literal("grpc-accept-encoding", ACCEPTED)
TRAILERS_OK: Final = literal("grpc-status", "0")

SAFE: Final = " !#$&'()*+,/:;=?@[]~"  # in a status, beside letters and digits
MAX_TEXT: Final = 400  # characters of a status; each takes up to 12 bytes

NOT_GRPC_TEXT: Final = b"This port speaks gRPC only.\n"
NOT_GRPC_HEADERS: Final = (
    literal(":status", "415")
    + literal("content-type", "text/plain")
    + literal("content-length", str(len(NOT_GRPC_TEXT)))
)

TIMEOUT_UNITS: Final[Mapping[str, float]] = {
    "H": 3600.0,
    "M": 60.0,
    "S": 1.0,
    "m": 1e-3,
    "u": 1e-6,
    "n": 1e-9,
}


class CallFault(Exception):
    """Ends the call with a gRPC status."""

    def __init__(self, status: Status, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.complete: list[bytes] = []  # messages that came before, in the same piece


def trailers(status: Status, text: str) -> bytes:
    """A text that a client had a part in is cut, so that the fields always fit one frame."""
    if status is Status.OK and not text:
        return TRAILERS_OK
    message = (
        literal("grpc-message", quote(text[:MAX_TEXT], SAFE, errors="replace")) if text else b""
    )
    return literal("grpc-status", str(int(status))) + message


def only_trailers(status: Status, text: str) -> bytes:
    """The whole answer of a call without any message."""
    return _OPENING + literal("grpc-accept-encoding", ACCEPTED) + trailers(status, text)


def is_grpc(head: RequestHead) -> bool:
    content_type = head.metadata.get("content-type", "")
    return head.method == "POST" and (
        content_type == CONTENT_TYPE
        or content_type.startswith(("application/grpc+", "application/grpc;"))
    )


def timeout_of(head: RequestHead) -> float | None:
    """Seconds that the client gives the call; None if it does not say, or not in a form we know."""
    text = head.metadata.get("grpc-timeout", "")
    digits, unit = text[:-1], text[-1:]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 8 and unit in TIMEOUT_UNITS):
        return None
    return int(digits) * TIMEOUT_UNITS[unit]


class MessageReader:
    """Puts the messages of one call together again, in whatever pieces they come."""

    __slots__ = ("_encoding", "_limit", "_missing", "_parts", "_prefix", "_zipped")

    def __init__(self, encoding: str, limit: int) -> None:
        """Raises CallFault for an encoding that is not known."""
        if encoding not in ("", "identity") and encoding not in ENCODINGS:
            raise CallFault(Status.UNIMPLEMENTED, f"grpc-encoding {encoding} is not supported")
        self._encoding = encoding
        self._limit = limit
        self._prefix = b""  # of a message whose length has not come whole
        self._missing = 0  # bytes of the message that is under way
        self._zipped = False
        self._parts: list[bytearray | memoryview] = []

    @property
    def inside(self) -> bool:
        """Whether a message is not complete."""
        return bool(self._missing or self._prefix)

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """The messages that are now complete, in order. Raises CallFault."""
        size = len(data)
        if not self._missing and not self._prefix and size >= PREFIX_BYTES:
            zipped, length = PREFIX.unpack_from(data)
            if length == size - PREFIX_BYTES and not zipped and length <= self._limit:
                # One frame is one message.
                message = data[PREFIX_BYTES:]
                return [message if isinstance(message, bytes) else bytes(message)]
        return self._feed_pieces(data)

    def _feed_pieces(self, data: bytes | memoryview) -> list[bytes]:
        messages: list[bytes] = []
        try:
            self._split(data, messages)
        except CallFault as fault:
            fault.complete = messages
            raise
        return messages

    def _split(self, data: bytes | memoryview, messages: list[bytes]) -> None:
        position, size = 0, len(data)
        while position < size:
            if not self._missing:
                wanted = PREFIX_BYTES - len(self._prefix)
                self._prefix += bytes(data[position : position + wanted])
                position += wanted
                if len(self._prefix) < PREFIX_BYTES:
                    break
                self._begin()
                if self._missing:
                    continue
            else:
                piece = data[position : position + self._missing]
                position += len(piece)
                self._missing -= len(piece)
                self._gather(piece)
            if not self._missing:
                messages.append(self._complete())

    def _gather(self, piece: bytes | memoryview) -> None:
        """Large pieces stay where they are; small ones would keep a whole read alive."""
        if isinstance(piece, memoryview) and len(piece) >= VIEWED_BYTES:
            self._parts.append(piece)
        elif self._parts and isinstance(last := self._parts[-1], bytearray):
            last += piece
        else:
            self._parts.append(bytearray(piece))

    def _begin(self) -> None:
        flag, length = PREFIX.unpack(self._prefix)
        self._prefix = b""
        if flag > 1 or (flag == 1 and self._encoding not in ENCODINGS):
            raise CallFault(Status.INTERNAL, "a compressed message without a grpc-encoding")
        if length > self._limit:
            raise self._too_large(length)
        self._zipped = flag == 1
        self._missing = length

    def _complete(self) -> bytes:
        message = b"".join(self._parts)
        self._parts.clear()
        return self._unzipped(message) if self._zipped else message

    def _unzipped(self, message: bytes) -> bytes:
        """The limit holds for what comes out."""
        unzip = zlib.decompressobj(ENCODINGS[self._encoding])
        try:
            plain = unzip.decompress(message, self._limit + 1)
        except zlib.error as error:
            raise CallFault(
                Status.INTERNAL, f"a message is not {self._encoding}: {error}"
            ) from error
        if len(plain) > self._limit:
            raise self._too_large(len(plain))
        if not unzip.eof:
            raise CallFault(Status.INTERNAL, "a compressed message is cut short")
        if unzip.unused_data:
            raise CallFault(Status.INTERNAL, "a compressed message goes on after its end")
        return plain

    def _too_large(self, size: int) -> CallFault:
        text = f"a message of {size} bytes is larger than {self._limit}"
        return CallFault(Status.RESOURCE_EXHAUSTED, text)
