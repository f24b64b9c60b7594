"""The two messages that carry bodies, straight from and to protobuf's wire format.

Nearly all messages of a stream are of these: a chunk in, the same chunk out. Reading one this way
copies it once. What has any other shape is left to the generated code.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from epp.extproc.wire import read_varint, varint

# In ProcessingRequest.
REQUEST_BODY: Final = 0x22
RESPONSE_BODY: Final = 0x2A

_REPLY_TAGS: Final = {REQUEST_BODY: b"\x1a", RESPONSE_BODY: b"\x22"}  # in ProcessingResponse
_BODY: Final = 0x0A  # the field `body`, in HttpBody and in StreamedBodyResponse
# `end_of_stream` in both.
_NOT_LAST: Final = b"\x10\x00"
_LAST: Final = b"\x10\x01"

Found = tuple[int, bytes, bool]


def read(message: bytes) -> Found | None:
    """Kind, data and end of stream; None for a message that has anything else in it."""
    try:
        kind = message[0]
        if kind not in _REPLY_TAGS:
            return None
        size, start = read_varint(message, 1)
        if start + size != len(message):
            return None
        stop = start
        if size and message[start] == _BODY:
            length, start = read_varint(message, start + 1)
            stop = start + length
    except IndexError:  # cut short: the generated code says what is wrong
        return None
    rest = message[stop:]
    if rest and rest not in (_LAST, _NOT_LAST):
        return None
    return (kind, message[start:stop], rest == _LAST) if stop <= len(message) else None


def reply(kind: int, data: bytes | memoryview, *, end_of_stream: bool) -> bytes:
    """A StreamedBodyResponse in its four wrappers."""
    head = _head(kind, len(data), end_of_stream)
    return b"".join((head, data, _LAST)) if end_of_stream else head + data


@lru_cache(maxsize=4096)
def _head(kind: int, size: int, end_of_stream: bool) -> bytes:
    """All that stands before the data. Chunks of a stream are of few sizes."""
    head = bytes((_BODY,)) + varint(size) if size else b""
    inside = len(head) + size + (len(_LAST) if end_of_stream else 0)
    # StreamedBodyResponse in BodyMutation, that in CommonResponse, that in BodyResponse.
    for tag in (b"\x1a", b"\x1a", b"\x0a", _REPLY_TAGS[kind]):
        wrapper = tag + varint(inside)
        head = wrapper + head
        inside += len(wrapper)
    return head
