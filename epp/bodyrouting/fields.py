"""Reads named top-level fields of a JSON object that arrives in pieces, without keeping the pieces.

What it has to remember is the one key or value that it stands in, which has a limit; so a body of
any size and depth costs the same memory. What it does not look for is skipped, not checked. Nor
can a body make it slow: one that takes a step at every few bytes is given up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from enum import IntEnum, auto
from typing import Final

from epp.bodyrouting.values import MAX_VALUE_BYTES, Flaw, of_scalar, of_string

BOM: Final = b"\xef\xbb\xbf"
MAX_TOKEN_BYTES: Final = 6 * MAX_VALUE_BYTES  # as JSON, where a byte can be written as \u0000
# Long strings are cheap to skip only where they do not end in sight: then a search for a quote is
# all. So a large piece is read in windows.
WINDOW_BYTES: Final = 64 << 10

# A step is a part of a top-level member, or brackets that stand side by side; objects and lists
# that have no others in them take none. So many are free, a millisecond each thousand, and then one
# in so many bytes.
FREE_STEPS: Final = 20_000
BYTES_PER_STEP: Final = 32
STEPS_PER_PIECE: Final = 16  # where a piece ends, what it cuts is read in steps

_QUOTE, _BACKSLASH, _COLON, _COMMA = b'"\\:,'
_OPEN, _CLOSE = b"{}"
_OPENING: Final = b"{["

# Every repetition is possessive: nothing is tried twice, so hostile bytes cannot make it slow.
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_PLAIN: Final = rb'[^"{}\[\]]*+'
# A container that has no other in it. Each round takes a string and what comes behind it, here and
# below: half as many rounds are half the time.
_FLAT: Final = rb"[{\[]" + _PLAIN + rb"(?:" + _STRING + _PLAIN + rb")*+[}\]]"
_BLANK: Final = re.compile(rb"[ \t\r\n]*+")
_SCALAR: Final = re.compile(rb'[^ \t\r\n,:"{}\[\]]*+')
_INSIDE: Final = re.compile(
    _PLAIN + rb"(?:%s%s|%s%s)*+" % (_STRING, _PLAIN, _FLAT, _PLAIN), re.DOTALL
)
_BRACKETS: Final = re.compile(rb"[{\[]++|[}\]]++")
_REST_OF_STRING: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)


class State(IntEnum):
    START = auto()  # blanks before the object
    FIRST_KEY = auto()  # or the end of an empty object
    NEXT_KEY = auto()
    KEY = auto()  # in the string
    COLON = auto()
    VALUE = auto()  # before it
    STRING = auto()
    SCALAR = auto()
    NESTED = auto()
    COMMA = auto()  # or the end of the object
    COMPLETE = auto()  # the object is closed
    BROKEN = auto()  # no JSON object
    GIVEN_UP = auto()  # too much in it for its size


class FieldScanner:
    """Feed it the pieces in order; any division into pieces comes to the same."""

    __slots__ = (
        "_bom",
        "_depth",
        "_escaped",
        "_in_string",
        "_left",
        "_missing",
        "_name",
        "_names",
        "_token",
        "_token_size",
        "contradicted",
        "readings",
        "state",
    )

    def __init__(self, names: Collection[str]) -> None:
        self.state = State.START
        # The first value of each field that was found: strings without their JSON spelling,
        # numbers and booleans as written.
        self.readings: dict[str, str | Flaw] = {}
        self.contradicted = ""  # a field that is there again with another value
        self._names: Mapping[bytes, str] = {name.encode(): name for name in names}
        self._missing = len(self._names)
        self._left = FREE_STEPS
        self._bom = 0  # bytes of it that were seen
        self._in_string = False
        self._escaped = False  # in a string: the next byte is
        self._depth = 0
        self._name: str | None = None  # of the field whose value is being read, if it is wanted
        self._token: list[bytes] | None = None  # pieces of the key or value that is being kept
        self._token_size = 0

    @property
    def settled(self) -> bool:
        """No later byte can bring a field that is not read yet."""
        return self._missing == 0 or self.state >= State.COMPLETE

    def feed(self, data: bytes) -> None:
        for start in range(0, len(data), WINDOW_BYTES):
            if self.state >= State.COMPLETE:
                return
            end = min(start + WINDOW_BYTES, len(data))
            at = start
            self._left += STEPS_PER_PIECE + (end - start) // BYTES_PER_STEP
            while at < end and self.state < State.COMPLETE:
                self._left -= 1
                if self._left < 0:
                    self.state = State.GIVEN_UP
                    self._token = None
                elif self._in_string:
                    at = self._read_string(data, at, end)
                else:
                    at = STEPS[self.state](self, data, at, end)

    # Steps: each reads on from `at`, below `end`, and returns where it stopped.

    def _start(self, data: bytes, at: int, end: int) -> int:
        while 0 < self._bom < len(BOM) and at < end:
            if data[at] != BOM[self._bom]:
                return self._break(at)
            self._bom += 1
            at += 1
        if self._bom == 0 and at < end and data[at] == BOM[0]:
            self._bom = 1
            return at + 1
        at = self._skip_blanks(data, at, end)
        if at < end:
            if data[at] != _OPEN:
                return self._break(at)
            self.state = State.FIRST_KEY
            at += 1
        elif self._bom == 0:
            self._bom = len(BOM)  # it can only be the very first
        return at

    def _key(self, data: bytes, at: int, end: int) -> int:
        at = self._skip_blanks(data, at, end)
        if at == end:
            return at
        if data[at] == _QUOTE:
            self.state = State.KEY
            self._keep()
            self._in_string = True
            return at + 1
        if data[at] == _CLOSE and self.state is State.FIRST_KEY:
            self.state = State.COMPLETE
            return at + 1
        return self._break(at)

    def _colon(self, data: bytes, at: int, end: int) -> int:
        at = self._skip_blanks(data, at, end)
        if at == end:
            return at
        if data[at] != _COLON:
            return self._break(at)
        self.state = State.VALUE
        return at + 1

    def _value(self, data: bytes, at: int, end: int) -> int:
        at = self._skip_blanks(data, at, end)
        if at == end:
            return at
        first = data[at]
        if first == _QUOTE:
            self.state = State.STRING
            if self._name is not None:
                self._keep()
            self._in_string = True
            return at + 1
        if first in _OPENING:
            self.state = State.NESTED
            self._depth = 1
            self._note(Flaw.UNREADABLE)
            return at + 1
        self.state = State.SCALAR
        self._keep()
        return at

    def _scalar(self, data: bytes, at: int, end: int) -> int:
        stop = _stop(_SCALAR, data, at, end)
        self._take(data, at, stop)
        if stop == end:
            return stop
        if self._token_size == 0:
            return self._break(stop)
        if self._name is not None:
            self._note(of_scalar(self._kept()))
        self._token = None
        self.state = State.COMMA
        return stop

    def _nested(self, data: bytes, at: int, end: int) -> int:
        while at < end:
            at = _stop(_INSIDE, data, at, end)
            if at == end:
                break
            brackets = _BRACKETS.match(data, at, end)
            if brackets is None:
                self._in_string = True
                return at + 1
            at = brackets.end()
            if data[brackets.start()] in _OPENING:
                self._depth += at - brackets.start()
            else:
                self._depth -= at - brackets.start()
                if self._depth <= 0:
                    at += self._depth
                    self.state = State.COMMA
                    break
            self._left -= 1
            if self._left < 0:
                break
        return at

    def _comma(self, data: bytes, at: int, end: int) -> int:
        at = self._skip_blanks(data, at, end)
        if at == end:
            return at
        if data[at] == _COMMA:
            self.state = State.NEXT_KEY
        elif data[at] == _CLOSE:
            self.state = State.COMPLETE
        else:
            return self._break(at)
        return at + 1

    def _read_string(self, data: bytes, at: int, end: int) -> int:
        start = at
        if self._escaped:
            self._escaped = False
            at += 1
        stop = data.find(b'"', at, end)
        if stop > at and data[stop - 1] == _BACKSLASH:
            stop = _stop(_REST_OF_STRING, data, at, end)
            if stop == end or data[stop] == _BACKSLASH:  # a lone one at the end
                stop = -1
        if stop < 0:
            self._escaped = _ends_escaping(data, at, end)
            self._take(data, start, end)
            return end
        self._take(data, start, stop)
        self._in_string = False
        if self.state is State.KEY:
            self._key_ends()
        elif self.state is State.STRING:
            if self._name is not None:
                self._note(of_string(self._kept()))
            self._token = None
            self.state = State.COMMA
        return stop + 1

    def _key_ends(self) -> None:
        self._name = self._wanted(self._kept())
        self._token = None
        self.state = State.COLON

    def _wanted(self, key: bytes | None) -> str | None:
        if key is None:
            return None
        if b"\\" in key:
            try:
                key = json.loads(b'"%s"' % key).encode()
            except ValueError:
                return None
        return self._names.get(key)

    def _note(self, reading: str | Flaw) -> None:
        name = self._name
        if name is None:
            return
        self._name = None
        if name not in self.readings:
            self.readings[name] = reading
            self._missing -= 1
        elif self.readings[name] != reading:
            self.contradicted = name

    def _keep(self) -> None:
        self._token = []
        self._token_size = 0

    def _take(self, data: bytes, start: int, stop: int) -> None:
        """Keeps what is being read, unless it is beyond what can be of use."""
        if self._token is None:
            return
        self._token_size += stop - start
        if self._token_size <= MAX_TOKEN_BYTES:
            self._token.append(data[start:stop])
        else:
            self._token.clear()

    def _kept(self) -> bytes | None:
        """None: it was too long."""
        assert self._token is not None
        return b"".join(self._token) if self._token_size <= MAX_TOKEN_BYTES else None

    def _skip_blanks(self, data: bytes, at: int, end: int) -> int:
        return _stop(_BLANK, data, at, end)

    def _break(self, at: int) -> int:
        self.state = State.BROKEN
        self._token = None
        return at


Step = Callable[[FieldScanner, bytes, int, int], int]

STEPS: Final[Mapping[State, Step]] = {
    State.START: FieldScanner._start,
    State.FIRST_KEY: FieldScanner._key,
    State.NEXT_KEY: FieldScanner._key,
    State.COLON: FieldScanner._colon,
    State.VALUE: FieldScanner._value,
    State.SCALAR: FieldScanner._scalar,
    State.NESTED: FieldScanner._nested,
    State.COMMA: FieldScanner._comma,
}


def _stop(pattern: re.Pattern[bytes], data: bytes, at: int, end: int) -> int:
    found = pattern.match(data, at, end)
    assert found is not None  # all of these match nothing, too
    return found.end()


def _ends_escaping(data: bytes, start: int, end: int) -> bool:
    """Whether an odd number of backslashes ends it."""
    at = end
    while at > start and data[at - 1] == _BACKSLASH:
        at -= 1
    return (end - at) % 2 == 1
