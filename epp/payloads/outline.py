"""What stands outside of the strings of a JSON text: brackets, commas and colons, not parsed.

A pass over the bytes, whatever they are. So it can tell what a parser would meet.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

# So much is looked at in one go; the pieces of one that is all quotes take a hundred times as much.
WINDOW_BYTES: Final = 1 << 16

_OPENING: Final = (b"{", b"[")
_CLOSING: Final = (b"}", b"]")


def outside_strings(text: bytes) -> Iterator[bytes]:
    """What is left of the text without its strings, in order. It begins outside of one."""
    in_string, escaping = False, b""
    for start in range(0, len(text), WINDOW_BYTES):
        window = escaping + text[start : start + WINDOW_BYTES]
        if b"\\" in window:
            window = window.replace(b"\\\\", b"")
            escaping = b"\\" if window.endswith(b"\\") else b""
            window = window.replace(b'\\"', b"")
        else:
            escaping = b""
        pieces = window.split(b'"')
        yield b"".join(pieces[1 if in_string else 0 :: 2])
        if len(pieces) % 2 == 0:
            in_string = not in_string


def has_more(text: bytes, signs: bytes, limit: int) -> bool:
    """Whether more than `limit` of these characters stand outside of strings."""
    if not _may_have_more(text, signs, limit):
        return False
    left = limit
    for outside in outside_strings(text):
        left -= len(outside) - len(outside.translate(None, signs))
        if left < 0:
            return True
    return False


def nesting(text: bytes) -> int:
    """How many more brackets are opened than closed."""
    found = 0
    for outside in outside_strings(text):
        found += sum(map(outside.count, _OPENING)) - sum(map(outside.count, _CLOSING))
    return found


def _may_have_more(text: bytes, signs: bytes, limit: int) -> bool:
    """In strings or not, which is quick to see: to delete what is rare takes hardly any time."""
    share = limit // len(signs)
    for at in range(len(signs)):
        if len(text) - len(text.replace(signs[at : at + 1], b"", share + 1)) > share:
            return True
    return False
