"""The top-level members of a JSON object, found in its bytes without building the document.

Works on any depth of nesting without recursion, and keeps byte positions, so that one value can be
replaced while every other byte stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

BOM = b"\xef\xbb\xbf"
BLANKS = b" \t\r\n"

# A whole string, or one character of structure. What lies between are numbers, literals, blanks.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]', re.DOTALL)
_OPENERS, _CLOSERS = b"{[", b"}]"


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
    """In order of appearance, duplicates included. Raises NotAnObject, maybe after some."""
    first = len(BOM) if body.startswith(BOM) else 0
    while body[first : first + 1] and body[first] in BLANKS:
        first += 1
    if body[first : first + 1] != b"{":
        raise NotAnObject(first)
    depth = 0
    key: bytes | None = None
    value_start = -1
    for token in _TOKEN.finditer(body, first):
        at, byte = token.start(), body[token.start()]
        if byte in _OPENERS:
            depth += 1
        elif byte in _CLOSERS:
            depth -= 1
        if depth > 1 or (depth == 1 and byte in _CLOSERS):
            continue
        if depth == 0 or byte == 0x2C:  # the end of the object, or a comma in it
            if key is not None and value_start >= 0:
                yield _member(body, key, value_start, at)
            key, value_start = None, -1
            if depth == 0:
                _check_rest(body, at + 1)
                return
        elif byte == 0x3A:  # colon
            value_start = at + 1
        elif byte == 0x22 and value_start < 0:  # a string before the colon
            key = token.group()
    raise NotAnObject(len(body))


def _member(body: bytes, key: bytes, start: int, stop: int) -> Member:
    while start < stop and body[start] in BLANKS:
        start += 1
    while stop > start and body[stop - 1] in BLANKS:
        stop -= 1
    return Member(key, start, stop)


def _check_rest(body: bytes, start: int) -> None:
    if body[start:].strip(BLANKS):
        raise NotAnObject(start)
