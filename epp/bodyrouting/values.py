"""The value of a JSON field as the text of a header, or why it is none."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

import orjson

MAX_VALUE_BYTES: Final = 4096  # the longest that a route can match

_NUMBER: Final = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NO_HEADER_TEXT: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Flaw(Enum):
    """Why the value of a field cannot be a header."""

    EMPTY = auto()
    # An object, a list, null, a text with control characters or beyond the limit, or no JSON.
    UNREADABLE = auto()


def of_string(inside: bytes | None) -> str | Flaw:
    """`inside` is what stands between the quotes; None: too much of it."""
    if inside is None:
        return Flaw.UNREADABLE
    try:
        text: str = orjson.loads(b'"%s"' % inside)
    except orjson.JSONDecodeError:
        return Flaw.UNREADABLE
    return _as_header(text)


def of_scalar(written: bytes | None) -> str | Flaw:
    """Numbers and booleans as they are written; None: it was too long."""
    if written is not None and (written in (b"true", b"false") or _NUMBER.fullmatch(written)):
        return _as_header(written.decode())
    return Flaw.UNREADABLE


def _as_header(text: str) -> str | Flaw:
    if not text:
        return Flaw.EMPTY
    if _NO_HEADER_TEXT.search(text) or len(text.encode()) > MAX_VALUE_BYTES:
        return Flaw.UNREADABLE
    return text
