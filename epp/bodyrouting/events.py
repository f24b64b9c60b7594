"""What the gateway told a body router of one request."""

from __future__ import annotations

from dataclasses import dataclass

from epp.extproc.events import BodyMode


@dataclass(slots=True)
class RequestHeaders:
    method: str
    content_type: str = ""
    content_encoding: str = ""
    end_of_stream: bool = False
    request_mode: BodyMode = BodyMode.FULL_DUPLEX_STREAMED
    response_mode: BodyMode = BodyMode.NONE


@dataclass(slots=True)
class RequestBody:
    data: bytes
    end_of_stream: bool = False


@dataclass(slots=True)
class RequestTrailers:
    pass


@dataclass(slots=True)
class ResponseHeaders:
    pass


@dataclass(slots=True)
class ResponseBody:
    data: bytes
    end_of_stream: bool = False


@dataclass(slots=True)
class ResponseTrailers:
    pass


@dataclass(slots=True)
class Expired:
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
    | Expired
    | HalfClosed
    | Closed
)
