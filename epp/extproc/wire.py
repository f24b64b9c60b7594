"""Protobuf's wire format, as much of it as the frequent messages need.

A tag is a field's number times eight, plus the kind of what follows: 2 for bytes with a length
before them, 0 for a varint, 1 for eight bytes. See the encoding page of protobuf's documentation.
"""

from __future__ import annotations

from typing import Final


def varint(value: int) -> bytes:
    octets = bytearray()
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


_SIZES: Final = [varint(size) for size in range(2048)]  # of nearly all fields


def field(tag: bytes, data: bytes) -> bytes:
    """A field that holds bytes, text or a message."""
    size = len(data)
    return tag + (_SIZES[size] if size < 2048 else varint(size)) + data


def read_varint(message: bytes, at: int) -> tuple[int, int]:
    """A varint of up to four bytes, and where it ends. Raises IndexError."""
    value = message[at]
    if value < 0x80:
        return value, at + 1
    value = value & 0x7F | (message[at + 1] & 0x7F) << 7
    if message[at + 1] < 0x80:  # as nearly all lengths have
        return value, at + 2
    value |= (message[at + 2] & 0x7F) << 14
    if message[at + 2] < 0x80:
        return value, at + 3
    if message[at + 3] < 0x80:
        return value | message[at + 3] << 21, at + 4
    raise IndexError("a longer number than a message can have")
