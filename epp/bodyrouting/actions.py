"""What a body router wants done: answers for the gateway in order, and one `Note` a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from epp.core.refusal import Refused
from epp.extproc.actions import (
    AnswerResponseBody,
    AnswerResponseHeaders,
    AnswerTrailers,
    EndStream,
    SendBody,
)


class Outcome(StrEnum):
    """What came of a request. Label of `bbr_requests_total`."""

    SUCCESS = "success"  # every field was found
    NO_BODY = "no-body"
    NOT_READ = "not-read"  # no POST, or a body of an encoding or a type that is not ours to read
    NOT_JSON = "not-json"
    MISSING = "missing"  # a field is not there
    UNREADABLE = "unreadable"  # a field is there, but its value cannot be a header
    CONTRADICTED = "contradicted"  # refused: a field is there twice, with different values
    INTRICATE = "intricate"  # refused: too many members and brackets for its size
    TOO_LARGE = "too-large"  # refused
    TIMED_OUT = "timed-out"  # the body did not come in time
    ABANDONED = "abandoned"  # the stream ended before the body did
    FAILED = "failed"  # a bug of ours


@dataclass(slots=True)
class AnswerRequestHeaders:
    """Sets these headers, and removes the client's own of those that are ours and not set."""

    set_headers: Mapping[str, str] = field(default_factory=dict)
    ask_for_body: bool = False  # as one message, from a gateway that would not send it so


@dataclass(slots=True)
class AnswerRequestBody:
    """The body goes on as it is; headers as with AnswerRequestHeaders."""

    set_headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Refuse:
    refusal: Refused


@dataclass(slots=True)
class Note:
    """What came of it, and what was read. Exactly one for every request that began."""

    outcome: Outcome
    headers: Mapping[str, str] = field(default_factory=dict)  # that were set
    missing: tuple[str, ...] = ()  # fields that are not there
    empty: tuple[str, ...] = ()  # fields whose value is an empty text
    base_model_unknown: bool = False  # nobody has said which base model it belongs to


Action = (
    AnswerRequestHeaders
    | AnswerRequestBody
    | SendBody
    | AnswerResponseHeaders
    | AnswerResponseBody
    | AnswerTrailers
    | Refuse
    | Note
    | EndStream
)
