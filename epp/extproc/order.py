"""The legal order of an exchange, as a table: which events may come in which state."""

from __future__ import annotations

from enum import IntEnum, auto
from typing import Final

from epp.extproc.events import (
    Answered,
    Decided,
    Deferred,
    Event,
    ReadingExpired,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
    TurnedAway,
)


class OutOfTurn(Exception):
    """The gateway sent a message that the protocol does not allow now."""


class State(IntEnum):
    IDLE = auto()
    READING = auto()  # the body is on its way
    DECIDING = auto()  # the director has been asked
    FORWARDED = auto()  # the gateway knows the decision
    RESPONDING = auto()  # the response headers have been seen
    DONE = auto()  # refused, answered, or the response is complete


# The legal order. `HalfClosed` and `Closed` are legal everywhere. A response can begin before we
# have decided: that is the gateway's own answer, for example 413 for a body over its buffer.
_LEGAL: Final[dict[State, tuple[type[Event], ...]]] = {
    State.IDLE: (RequestHeaders, ResponseHeaders),
    State.READING: (RequestBody, RequestTrailers, ResponseHeaders, ReadingExpired),
    State.DECIDING: (
        *(Decided, Answered, TurnedAway, Deferred),
        *(RequestBody, RequestTrailers, ResponseHeaders),
    ),
    State.FORWARDED: (RequestBody, RequestTrailers, ResponseHeaders),
    State.RESPONDING: (RequestBody, RequestTrailers, ResponseBody, ResponseTrailers),
    State.DONE: (RequestBody, RequestTrailers, ResponseHeaders, ResponseBody, ResponseTrailers),
}
EXPECTED: Final = {state: frozenset(kinds) for state, kinds in _LEGAL.items()}
