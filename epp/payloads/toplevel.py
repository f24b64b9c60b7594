"""The top-level members of a JSON object, found in its bytes without building the document.

Works on any depth of nesting without recursion and in linear time, and keeps byte positions, so
that one value can be replaced while every other byte stays. What takes a step of its own is
limited: no body can make it slow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from epp.payloads.outline import nesting

BOM: Final = b"\xef\xbb\xbf"
# Of one walk, some microseconds each. A request has some twenty members, and only the brackets of
# a list or object that has others in it take steps.
MAX_STEPS: Final = 10_000
STEPS_OF_MEMBER: Final = 5  # as long as it takes

# Every repetition is possessive: nothing is tried twice, so hostile bytes cannot make it slow.
# A quote with no backslash before it ends a string, one with a lone backslash does not. That
# decides most strings at several times the speed of the second form, which decides the others.
_STRING: Final = (
    rb'(?:"[^"]*+(?:(?<=[^\\]\\)"[^"]*+)*+(?<!\\)"'
    rb'|"[^"\\]*+(?:\\.[^"\\]*+)*+")'
)
_PLAIN: Final = rb'[^"{}\[\]]*+'
# A container that has no other in it. Each round takes a string and what comes behind it, here and
# below: half as many rounds are half the time.
_FLAT: Final = rb"[{\[]" + _PLAIN + rb"(?:" + _STRING + _PLAIN + rb")*+[}\]]"
_BLANK: Final = rb"[ \t\r\n]*+"

_START: Final = re.compile(rb"(?:%s)?%s\{" % (BOM, _BLANK))
_KEY: Final = re.compile(rb"%s(%s)%s:%s" % (_BLANK, _STRING, _BLANK, _BLANK), re.DOTALL)
_SCALAR: Final = re.compile(_STRING + rb'|[^ \t\r\n,:"{}\[\]]++', re.DOTALL)
_NEXT: Final = re.compile(_BLANK + rb"([,}])")
_END: Final = re.compile(_BLANK + rb"\}?" + _BLANK)
# As many brackets at once as stand side by side.
_TO_BRACKETS: Final = re.compile(
    _PLAIN + rb"(?:%s%s|%s%s)*+(?:([{\[]++)|([}\]]++))" % (_STRING, _PLAIN, _FLAT, _PLAIN),
    re.DOTALL,
)
_COLON: Final = re.compile(_BLANK + rb":" + _BLANK)
# How an escape of a small letter up to o begins. No writer needs one.
_ESCAPED_LETTER: Final = b"\\u006"
_BACKSLASH: Final = ord("\\")


class NotAnObject(ValueError):
    """The bytes are no JSON object; `position` is where that showed."""

    def __init__(self, position: int) -> None:
        super().__init__(f"no JSON object: stopped at byte {position}")
        self.position = position


class TooIntricate(NotAnObject):
    """There is more in it than is looked at. It may be an object all the same."""


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
    left = MAX_STEPS
    while key is not None:
        at = key.end()
        stop, left = _value_end(body, at, left - STEPS_OF_MEMBER)
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
    return _value_end(body, start, MAX_STEPS)[0]


def values_of(body: bytes, name: str) -> list[tuple[int, int]]:
    """Start and stop of every top-level value of this name, which has small letters up to o.

    The name is searched for, and how deep it stands is told by the brackets around. So it hardly
    matters how much else there is. Raises NotAnObject.
    """
    start = _START.match(body)
    if start is None:
        raise NotAnObject(0)
    if b"\\" in body and _ESCAPED_LETTER in body:  # maybe in a key
        return [(m.start, m.stop) for m in members(body) if m.is_named(name)]
    keys, values = _keys(body, b'"%s"' % name.encode())
    found: list[tuple[int, int]] = []
    for at, depth in zip(values, _depths(body, keys)):  # noqa: B905 - compiled only so
        if depth == 1:
            found.append((at, value_end(body, at)))
    return found


def _keys(body: bytes, key: bytes) -> tuple[list[int], list[int]]:
    """Where this key stands, at any depth, and where its value does.

    In a string its quotes would be escaped.
    """
    keys: list[int] = []
    values: list[int] = []
    at, left = body.find(key), MAX_STEPS
    while at >= 0:
        left -= 1
        if left < 0:
            raise TooIntricate(at)
        colon = _COLON.match(body, at + len(key))
        if colon is not None and body[at - 1] != _BACKSLASH:
            keys.append(at)
            values.append(colon.end())
        at = body.find(key, at + len(key))
    return keys, values


def _depths(body: bytes, places: list[int]) -> list[int]:
    """How deep each place stands, in a body in which as many brackets close as open.

    So the longest part between two places is not looked at.
    """
    edges = [0, *places, len(body)]
    sizes = [edges[i + 1] - edges[i] for i in range(len(edges) - 1)]
    longest = sizes.index(max(sizes))
    changes = [
        0 if i == longest else nesting(body[edges[i] : edges[i + 1]]) for i in range(len(sizes))
    ]
    changes[longest] = -sum(changes)
    return list(accumulate(changes[:-1]))


def _value_end(body: bytes, start: int, left: int) -> tuple[int, int]:
    """And how many steps are left of those that were."""
    if left < 0:
        raise TooIntricate(start)
    if body[start : start + 1] not in (b"{", b"["):
        scalar = _SCALAR.match(body, start)
        if scalar is None:
            raise NotAnObject(start)
        return scalar.end(), left
    depth, at = 1, start + 1
    while True:
        brackets = _TO_BRACKETS.match(body, at)
        if brackets is None:
            raise NotAnObject(len(body))
        left -= 1
        if left < 0:
            raise TooIntricate(at)
        at = brackets.end()
        if brackets[1] is not None:
            depth += len(brackets[1])
        else:
            depth -= len(brackets[2])
            if depth <= 0:
                return at + depth, left


def _check_end(body: bytes, at: int) -> None:
    end = _END.match(body, at)
    if end is None or end.end() != len(body) or b"}" not in end[0]:
        raise NotAnObject(at)
