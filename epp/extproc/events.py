"""What the gateway, the clock or our own director told an exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from epp.core.decision import Answer, Placed
from epp.core.refusal import Refused
from epp.director import Begun


class BodyMode(IntEnum):
    """How the gateway sends a body. Values are those of Envoy's BodySendMode."""

    NONE = 0
    STREAMED = 1
    BUFFERED = 2
    BUFFERED_PARTIAL = 3
    FULL_DUPLEX_STREAMED = 4


@dataclass(slots=True)
class RequestHeaders:
    headers: Mapping[str, str]  # names in lower case, pseudo headers included
    end_of_stream: bool = False
    request_mode: BodyMode = BodyMode.FULL_DUPLEX_STREAMED
    response_mode: BodyMode = BodyMode.FULL_DUPLEX_STREAMED
    subset: frozenset[str] | None = None  # the gateway's hint; None is no hint
    takes_lists: bool = False  # the gateway tries the endpoints of a list in turn
    control: Mapping[str, str] | None = None  # control values that the gateway itself set


@dataclass(slots=True)
class RequestBody:
    data: bytes
    end_of_stream: bool = False
    subset: frozenset[str] | None = None


@dataclass(slots=True)
class RequestTrailers:
    pass


@dataclass(slots=True)
class ResponseHeaders:
    status: int  # 0 if the gateway sent none
    content_type: str = ""
    content_encoding: str = ""
    end_of_stream: bool = False
    served: str = ""  # host:port that really served; empty if the gateway does not say
    # Counts where this is the first message: somebody before us answered, and the answer passes us.
    response_mode: BodyMode = BodyMode.FULL_DUPLEX_STREAMED


@dataclass(slots=True)
class ResponseBody:
    data: bytes
    end_of_stream: bool = False


@dataclass(slots=True)
class ResponseTrailers:
    pass


@dataclass(slots=True)
class Decided:
    begun: Begun
    placed: Placed


@dataclass(slots=True)
class Answered:
    answer: Answer


@dataclass(slots=True)
class TurnedAway:
    refusal: Refused


@dataclass(slots=True)
class Deferred:
    """The request waits; its outcome comes at `deadline` at the latest (monotonic seconds)."""

    deadline: float


@dataclass(slots=True)
class ReadingExpired:
    """The body took too long to arrive."""


@dataclass(slots=True)
class HalfClosed:
    """The gateway will send nothing more, but still reads."""


@dataclass(slots=True)
class Closed:
    """The stream is gone, in whatever way."""


Event = (
    RequestHeaders
    | RequestBody
    | RequestTrailers
    | ResponseHeaders
    | ResponseBody
    | ResponseTrailers
    | Decided
    | Answered
    | TurnedAway
    | Deferred
    | ReadingExpired
    | HalfClosed
    | Closed
)
