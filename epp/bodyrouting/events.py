"""What the gateway told a body router of one request."""

from __future__ import annotations

from dataclasses import dataclass

from epp.extproc.events import (
    BodyMode,
    Closed,
    HalfClosed,
    RequestBody,
    RequestTrailers,
    ResponseBody,
    ResponseTrailers,
)


@dataclass(slots=True)
class RequestHeaders:
    method: str
    content_type: str = ""
    content_encoding: str = ""
    end_of_stream: bool = False
    request_mode: BodyMode = BodyMode.FULL_DUPLEX_STREAMED
    response_mode: BodyMode = BodyMode.NONE


@dataclass(slots=True)
class ResponseHeaders:
    response_mode: BodyMode = BodyMode.NONE  # counts where this is the first message


@dataclass(slots=True)
class Expired:
    """The body took too long to arrive."""


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
