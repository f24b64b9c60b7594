"""Frames as bytes (RFC 9113 sections 4 and 6): their constants, building them, reading payloads."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

from epp.extproc.transport.http2.faults import ConnectionFault, ErrorCode, StreamFault

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES: Final = 9
DEFAULT_FRAME_BYTES: Final = 16_384  # the largest payload that every peer takes
MAX_FRAME_BYTES: Final = (1 << 24) - 1
MAX_WINDOW: Final = (1 << 31) - 1
MAX_STREAM_ID: Final = (1 << 31) - 1


class Kind(IntEnum):
    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


# The flags of all kinds; ACK and END_STREAM share a bit.
ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY: Final = 0x20

# Length and kind are 24 and 8 bits of one word; the first bit of the stream id is reserved.
HEADER: Final = struct.Struct(">IBI")
WORD: Final = struct.Struct(">I")
SETTING: Final = struct.Struct(">HI")


def frame(kind: Kind, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return HEADER.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def settings(values: dict[int, int]) -> bytes:
    return frame(Kind.SETTINGS, 0, 0, b"".join(SETTING.pack(*pair) for pair in values.items()))


def ping(payload: bytes) -> bytes:
    return frame(Kind.PING, 0, 0, payload)


def ping_ack(payload: bytes) -> bytes:
    return frame(Kind.PING, ACK, 0, payload)


def goaway(last_stream_id: int, code: ErrorCode, text: str = "") -> bytes:
    payload = WORD.pack(last_stream_id) + WORD.pack(code) + text.encode()
    return frame(Kind.GOAWAY, 0, 0, payload)


def rst_stream(stream_id: int, code: ErrorCode) -> bytes:
    return frame(Kind.RST_STREAM, 0, stream_id, WORD.pack(code))


def window_update(stream_id: int, increment: int) -> bytes:
    return frame(Kind.WINDOW_UPDATE, 0, stream_id, WORD.pack(increment))


SETTINGS_ACK: Final = frame(Kind.SETTINGS, ACK, 0)


def unpadded(payload: bytes, flags: int) -> bytes:
    """Raises ConnectionFault for padding that is longer than the payload (section 6.1)."""
    if not flags & PADDED:
        return payload
    if not payload:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a padded frame without its length")
    padding = payload[0]
    if padding >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "more padding than payload")
    return payload[1 : len(payload) - padding]


def header_fragment(payload: bytes, flags: int, stream_id: int) -> tuple[bytes, bool]:
    """What a HEADERS frame holds of the field section (section 6.2).

    The flag says whether the stream depends on itself, which is found out before decoding but must
    not keep the section from being decoded.
    """
    fragment = unpadded(payload, flags)
    if not flags & PRIORITY:
        return fragment, False
    if len(fragment) < 5:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS without its whole priority")
    return fragment[5:], depends_on_itself(fragment, stream_id)


def depends_on_itself(priority: bytes, stream_id: int) -> bool:
    """The deprecated signal is checked and not used (section 5.3.1)."""
    dependency: int = WORD.unpack_from(priority)[0] & MAX_STREAM_ID
    return dependency == stream_id


def increment_of(payload: bytes, stream_id: int) -> int:
    """Of a WINDOW_UPDATE (section 6.9). Raises StreamFault or ConnectionFault."""
    check_size(payload, 4, "WINDOW_UPDATE")
    increment: int = WORD.unpack(payload)[0] & MAX_WINDOW
    if increment == 0:
        text = "a window update of nothing"
        if stream_id:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, text)
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, text)
    return increment


def check_size(payload: bytes, size: int, name: str) -> None:
    if len(payload) != size:
        text = f"{name} of {len(payload)} bytes instead of {size}"
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, text)
