"""What an exchange wants done.

`Begin`, `Responding` and `Finish` are for the director, `EndStream` is for the transport, and the
rest are replies to the gateway, in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, auto

from epp.core.decision import DecisionRecord
from epp.director import Arrival, Ending


class Phase(IntEnum):
    REQUEST = auto()
    RESPONSE = auto()


@dataclass(frozen=True, slots=True)
class Route:
    """The mutation that carries a pick to the gateway."""

    destination: str  # host:port[,host:port...], the same text in header and metadata
    set_headers: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, float] | None = None  # by host:port, of every candidate; None: untold
    record: DecisionRecord | None = None  # facts of the decision, to come back in the access log
    trace_headers: Mapping[str, str] | None = None  # to set too; no two requests have the same


@dataclass(slots=True)
class Begin:
    """Ask the director. Its answer comes back as an event."""

    arrival: Arrival


@dataclass(slots=True)
class Responding:
    """A model server began to answer. `served` is empty where the gateway does not say who."""

    served: str
    status: int
    body_follows: bool = True  # and is shown to us


@dataclass(slots=True)
class FirstToken:
    """A streamed answer has its first byte: the prompt has been computed. Only in full mode."""


@dataclass(slots=True)
class Finish:
    """Exactly one for every `Begin`."""

    ending: Ending


@dataclass(slots=True)
class AnswerRequestHeaders:
    """With a route: the decision. Without: go on, but strip the client's control headers."""

    route: Route | None = None


@dataclass(slots=True)
class AnswerRequestBody:
    """For modes in which the gateway waits for each body message to be answered."""

    route: Route | None = None
    replacement: bytes | None = None  # None: the body stays as it is


@dataclass(slots=True)
class AnswerResponseHeaders:
    set_headers: Mapping[str, str] = field(default_factory=dict)
    drop_content_length: bool = False


@dataclass(slots=True)
class AnswerResponseBody:
    pass


@dataclass(slots=True)
class SendBody:
    """A piece of a full-duplex body. The codec cuts it to the size that gateways take."""

    phase: Phase
    data: bytes
    end_of_stream: bool


@dataclass(slots=True)
class AnswerTrailers:
    phase: Phase
    route: Route | None = None  # a request of trailers alone: only the metadata can carry the pick


@dataclass(slots=True)
class AskForTime:
    """The gateway's message timeout must not run out while the request waits."""

    seconds: float


@dataclass(slots=True)
class Immediate:
    status: int
    headers: Mapping[str, str]
    body: bytes
    details: str  # for the gateway's access log


@dataclass(slots=True)
class EndStream:
    """Nothing more will be said."""


Action = (
    Begin
    | Responding
    | FirstToken
    | Finish
    | AnswerRequestHeaders
    | AnswerRequestBody
    | AnswerResponseHeaders
    | AnswerResponseBody
    | SendBody
    | AnswerTrailers
    | AskForTime
    | Immediate
    | EndStream
)
