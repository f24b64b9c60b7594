"""The two messages that carry headers, straight from protobuf's wire format.

Every request has both, with some dozen headers each. What has any other shape is left to the
generated code.
"""

from __future__ import annotations

import sys
from typing import Final

from epp.extproc.wire import read_varint

# In ProcessingRequest.
REQUEST_HEADERS: Final = 0x12
RESPONSE_HEADERS: Final = 0x1A
# These, too, are alternatives of the oneof that headers are one of.
_OTHER_KINDS: Final = frozenset((0x22, 0x2A, 0x32, 0x3A))

# In HttpHeaders.
_HEADER_MAP: Final = 0x0A
_END_OF_STREAM: Final = 0x18
# In HeaderMap.
_HEADER: Final = 0x0A
# In HeaderValue.
_KEY: Final = 0x0A
_VALUE: Final = 0x12
_RAW_VALUE: Final = 0x1A

_BYTES: Final = 2  # the kind of a field, in the last three bits of its tag

# Names as they came -> in lower case. Nearly all requests have the same few; a client that invents
# names makes the table start anew, and no longer name is kept.
_LOWERED: Final[dict[bytes, str]] = {}
KEPT_NAMES: Final = 1024
KEPT_NAME_BYTES: Final = 64

# Headers as they came -> name and value: most are those of an earlier request, too. Bounded in the
# same way, and without those that nearly every request has differently and those that are secrets.
_READ: Final[dict[bytes, tuple[str, str]]] = {}
KEPT_HEADERS: Final = 1024
KEPT_HEADER_BYTES: Final = 96
NEVER_KEPT: Final = frozenset(
    (
        *("x-request-id", "content-length", "traceparent", "tracestate", "date", "age"),
        *("x-forwarded-for", "x-envoy-external-address", "x-envoy-upstream-service-time"),
        *("authorization", "proxy-authorization", "cookie", "set-cookie"),
        *("x-api-key", "api-key", "x-goog-api-key"),
    )
)

Found = tuple[int, dict[str, str], bool, bytes]


def read(message: bytes) -> Found | None:
    """Kind, headers, end of stream, and the fields beside them as they are; None if it is unclear.

    Names are in lower case. Of a header that is there twice, the first counts. `raw_value` wins
    over `value`. Bytes that are not UTF-8 become U+FFFD: what is read here ends in labels, logs and
    pages, and no value goes back to the gateway.
    """
    headers: dict[str, str] = {}
    kind, end_of_stream, beside = 0, False, b""
    at, size = 0, len(message)
    try:
        while at < size:
            tag, begin = message[at], at
            if tag >= 0x80 or tag & 7 != _BYTES or tag in _OTHER_KINDS:
                return None
            length, at = read_varint(message, at + 1)
            stop = at + length
            if stop > size:
                return None
            if tag in (REQUEST_HEADERS, RESPONSE_HEADERS):
                if kind:
                    return None
                kind = tag
                last = _read_headers(message, at, stop, headers)
                if last < 0:
                    return None
                end_of_stream = last > 0
            else:
                beside += message[begin:stop]
            at = stop
    except (IndexError, UnicodeDecodeError):  # the generated code says what is wrong
        return None
    return (kind, headers, end_of_stream, beside) if kind else None


def _read_headers(message: bytes, at: int, stop: int, headers: dict[str, str]) -> int:
    """Of one HttpHeaders. Returns `end_of_stream`, or -1 for what is not understood."""
    end_of_stream = 0
    while at < stop:
        tag = message[at]
        if tag == _END_OF_STREAM:
            end_of_stream = message[at + 1]
            if end_of_stream > 1:
                return -1
            at += 2
        elif tag == _HEADER_MAP:
            length, at = read_varint(message, at + 1)
            map_stop = at + length
            if map_stop > stop:
                return -1
            while at < map_stop:
                if message[at] != _HEADER:
                    return -1
                length, at = read_varint(message, at + 1)
                header_stop = at + length
                if header_stop > map_stop:
                    return -1
                header = _READ.get(message[at:header_stop])
                if header is None:
                    header = _read_header(message, at, header_stop)
                    if header is None:
                        return -1
                name, value = header
                if name not in headers:
                    headers[name] = value
                at = header_stop
        else:
            return -1
    return end_of_stream if at == stop else -1


def _read_header(message: bytes, begin: int, stop: int) -> tuple[str, str] | None:
    """Name and value; None for what is not understood."""
    key = value = raw = b""
    at = begin
    while at < stop:
        tag = message[at]
        length = message[at + 1]
        if length < 0x80:  # as nearly all are
            start = at + 2
        else:
            length, start = read_varint(message, at + 1)
        at = start + length
        if tag == _KEY:
            key = message[start:at]
        elif tag == _RAW_VALUE:
            raw = message[start:at]
        elif tag == _VALUE:
            value = message[start:at]
        else:
            return None
    if at != stop:
        return None
    name = _LOWERED.get(key)
    if name is None:
        name = _lowered(key)
    text = value.decode() if value else ""  # raises for what is no UTF-8, as others do
    header = name, _text(raw) if raw else text
    if stop - begin <= KEPT_HEADER_BYTES and name not in NEVER_KEPT:
        if len(_READ) >= KEPT_HEADERS:
            _READ.clear()
        _READ[message[begin:stop]] = header
    return header


def _lowered(key: bytes) -> str:
    name = sys.intern(key.decode().lower())  # found faster by who asks for it
    if len(key) <= KEPT_NAME_BYTES:
        if len(_LOWERED) >= KEPT_NAMES:
            _LOWERED.clear()
        _LOWERED[key] = name
    return name


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace")
