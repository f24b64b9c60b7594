"""The top-level members of a JSON object, found in its bytes without building the document.

Works on any depth of nesting without recursion and in linear time, and keeps byte positions, so
that one value can be replaced while every other byte stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

BOM: Final = b"\xef\xbb\xbf"

# Every repetition is possessive: nothing is tried twice, so hostile bytes cannot make it slow.
# A quote with no backslash before it ends a string, one with a lone backslash does not. That
# decides most strings at several times the speed of the second form, which decides the others.
_STRING: Final = (
    rb'(?:"[^"]*+(?:(?<=[^\\]\\)"[^"]*+)*+(?<!\\)"'
    rb'|"[^"\\]*+(?:\\.[^"\\]*+)*+")'
)
# A container that has no other in it.
_FLAT: Final = rb'[{\[](?:[^"{}\[\]]++|' + _STRING + rb")*+[}\]]"
_BLANK: Final = rb"[ \t\r\n]*+"

_START: Final = re.compile(rb"(?:%s)?%s\{" % (BOM, _BLANK))
_KEY: Final = re.compile(rb"%s(%s)%s:%s" % (_BLANK, _STRING, _BLANK, _BLANK), re.DOTALL)
_SCALAR: Final = re.compile(_STRING + rb'|[^ \t\r\n,:"{}\[\]]++', re.DOTALL)
_NEXT: Final = re.compile(_BLANK + rb"([,}])")
_END: Final = re.compile(_BLANK + rb"\}?" + _BLANK)
_TO_BRACKET: Final = re.compile(
    rb'(?:[^"{}\[\]]++|%s|%s)*+([{}\[\]])' % (_STRING, _FLAT), re.DOTALL
)


class NotAnObject(ValueError):
    """The bytes are no JSON object; `position` is where that showed."""

    def __init__(self, position: int) -> None:
        super().__init__(f"no JSON object: stopped at byte {position}")
        self.position = position


@dataclass(frozen=True, slots=True)
class Member:
    key: bytes  # as written, with its quotes
    start: int  # of the value
    stop: int

    def is_named(self, name: str) -> bool:
        """Also where the key is spelled with escapes."""
        if b"\\" not in self.key:
            return self.key[1:-1] == name.encode()
        try:
            return bool(json.loads(self.key) == name)
        except ValueError:
            return False


def members(body: bytes) -> Iterator[Member]:
    """In order of appearance, duplicates included. Raises NotAnObject, maybe after some.

    A member is yielded only when the comma or brace behind it was seen, so that a value which the
    end of the bytes cuts is none. What nested values contain is not checked.
    """
    start = _START.match(body)
    if start is None:
        raise NotAnObject(0)
    at = start.end()
    key = _KEY.match(body, at)
    if key is None:
        _check_end(body, at)
        return
    while key is not None:
        at = key.end()
        stop = value_end(body, at)
        following = _NEXT.match(body, stop)
        if following is None:
            raise NotAnObject(stop)
        yield Member(key[1], at, stop)
        if following[1] == b"}":
            _check_end(body, following.start(1))
            return
        at = following.end()
        key = _KEY.match(body, at)
    raise NotAnObject(at)


def value_end(body: bytes, start: int) -> int:
    """Where the value that begins at `start` ends. Raises NotAnObject if it does not."""
    if body[start : start + 1] not in (b"{", b"["):
        scalar = _SCALAR.match(body, start)
        if scalar is None:
            raise NotAnObject(start)
        return scalar.end()
    depth, at = 1, start + 1
    while depth:
        bracket = _TO_BRACKET.match(body, at)
        if bracket is None:
            raise NotAnObject(len(body))
        depth += 1 if bracket[1] in b"{[" else -1
        at = bracket.end()
    return at


def _check_end(body: bytes, at: int) -> None:
    end = _END.match(body, at)
    if end is None or end.end() != len(body) or b"}" not in end[0]:
        raise NotAnObject(at)
