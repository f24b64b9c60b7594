"""Protobuf to events and actions to protobuf, for one ext-proc stream. Only this knows both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, assert_never

from epp._pb import ext_proc_pb2 as pb
from epp.extproc import body_messages, header_messages, route_messages
from epp.extproc import headers as names
from epp.extproc.actions import (
    Action,
    AnswerRequestBody,
    AnswerRequestHeaders,
    AnswerResponseBody,
    AnswerResponseHeaders,
    AnswerTrailers,
    AskForTime,
    Begin,
    EndStream,
    Finish,
    FirstToken,
    Immediate,
    Phase,
    Responding,
    Route,
    SendBody,
)
from epp.extproc.events import (
    BodyMode,
    Event,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
)
from epp.extproc.messages import (
    RESPONSE_BODY_GOES_ON,
    RESPONSE_HEADERS_GO_ON,
    TRAILERS_GO_ON,
    body_mode,
    body_pieces,
    immediate_message,
    parsed,
    set_header,
)

LISTS_METADATA: Final = ("x-epp-gateway", "lists")
EXT_PROC_ATTRIBUTES: Final = "envoy.filters.http.ext_proc"
# What stands beside headers is kept decoded; clients cannot make it large or many.
KEPT_AROUND: Final = 512
KEPT_BESIDE_BYTES: Final = 2048

_STRIP_ALL: Final = pb.HeaderMutation(remove_headers=(names.DESTINATION, *names.STRIPPED))

# Answers that are the same for every request.
_GO_ON: Final = pb.ProcessingResponse(
    request_headers=pb.HeadersResponse(response=pb.CommonResponse(header_mutation=_STRIP_ALL))
).SerializeToString()
_BODY_GOES_ON: Final = pb.ProcessingResponse(request_body=pb.BodyResponse()).SerializeToString()


class Codec:
    """Keeps nothing but what the gateway said of itself when it opened the stream."""

    __slots__ = ("_instance", "_nonce", "_takes_lists")

    def __init__(self, metadata: Mapping[str, str], instance: str, nonce: str) -> None:
        self._takes_lists = LISTS_METADATA[1] in metadata.get(LISTS_METADATA[0], "")
        self._instance, self._nonce = instance, nonce

    def decode(self, data: bytes) -> Event | None:
        """None for a message of a kind that asks for nothing. Raises MalformedMessage."""
        if (body := body_messages.read(data)) is not None:
            kind, chunk, last = body
            if kind == body_messages.RESPONSE_BODY:
                return ResponseBody(chunk, last)
            return RequestBody(chunk, last)
        if (found := header_messages.read(data)) is not None:
            return self._headers(found)
        return self._uncommon(data)

    def _headers(self, found: header_messages.Found) -> Event:
        kind, headers, end_of_stream, beside = found
        around = (_kept_around if len(beside) <= KEPT_BESIDE_BYTES else _around)(beside)
        if kind == header_messages.RESPONSE_HEADERS:
            status = headers.get(":status") or headers.get("status", "")
            return ResponseHeaders(
                int(status) if status.isdecimal() and len(status) <= 3 else 0,
                headers.get("content-type", ""),
                headers.get("content-encoding", ""),
                end_of_stream,
                around.served,
                around.response_mode,
            )
        return RequestHeaders(
            headers,
            end_of_stream,
            around.request_mode,
            around.response_mode,
            around.subset,
            self._takes_lists,
            around.control,
        )

    def _uncommon(self, data: bytes) -> Event | None:
        """A message of any other kind or shape, judged by the generated code."""
        message = parsed(data)
        match message.WhichOneof("request"):
            case "request_body":
                body = message.request_body
                return RequestBody(body.body, body.end_of_stream, _subset(message))
            case "response_body":
                body = message.response_body
                return ResponseBody(body.body, body.end_of_stream)
            case "request_headers" | "response_headers":
                # Written anew without what is unknown here, it has the common shape.
                message.DiscardUnknownFields()
                message.ClearField("observability_mode")
                found = header_messages.read(message.SerializeToString())
                assert found is not None
                return self._headers(found)
            case "request_trailers":
                return RequestTrailers()
            case "response_trailers":
                return ResponseTrailers()
            case _:
                return None

    def encode(self, action: Action) -> Iterable[bytes]:
        """The messages that say it, in order; none for what is not for the gateway."""
        if isinstance(action, SendBody):  # by far the most frequent
            return body_pieces(action)
        match action:
            case AnswerResponseBody():
                return (RESPONSE_BODY_GOES_ON,)
            case AnswerRequestHeaders(route):
                return (self._request_headers_answer(route),)
            case AnswerRequestBody(route, replacement):
                return (self._request_body_answer(route, replacement),)
            case AnswerTrailers(phase, route):
                return (self._trailers_answer(phase, route),)
            case AnswerResponseHeaders():
                return (_response_headers_answer(action),)
            case AskForTime(seconds):
                return (_time_request(seconds),)
            case Immediate():
                return (immediate_message(action),)
            case Begin() | Responding() | FirstToken() | Finish() | EndStream():
                return ()
            case _:
                assert_never(action)

    def _request_headers_answer(self, route: Route | None) -> bytes:
        if route is None:
            return _GO_ON
        return route_messages.answer(route_messages.REQUEST_HEADERS, route, self._facts(route))

    def _request_body_answer(self, route: Route | None, replacement: bytes | None) -> bytes:
        if route is None:
            return _BODY_GOES_ON
        facts = self._facts(route)
        return route_messages.answer(route_messages.REQUEST_BODY, route, facts, replacement)

    def _trailers_answer(self, phase: Phase, route: Route | None) -> bytes:
        if phase is Phase.RESPONSE or route is None:
            return TRAILERS_GO_ON[phase]
        return route_messages.trailers_answer(route, self._facts(route))

    def _facts(self, route: Route) -> bytes:
        if route.record is None:
            return b""
        return route_messages.facts_struct(self._instance, self._nonce, route.record)


@dataclass(frozen=True, slots=True)
class Around:
    """What a message with headers says beside them."""

    request_mode: BodyMode
    response_mode: BodyMode
    subset: frozenset[str] | None
    control: Mapping[str, str] | None
    served: str


def _around(beside: bytes) -> Around:
    """Raises MalformedMessage."""
    message = parsed(beside)
    request_mode = response_mode = BodyMode.FULL_DUPLEX_STREAMED
    if message.HasField("protocol_config"):
        request_mode = body_mode(message.protocol_config.request_body_mode)
        response_mode = body_mode(message.protocol_config.response_body_mode)
    subset, control = _subset(message), _control(message)
    return Around(request_mode, response_mode, subset, control, _served(message))


# Most messages say the same as an earlier one.
_kept_around: Final = lru_cache(maxsize=KEPT_AROUND)(_around)


def _served(message: pb.ProcessingRequest) -> str:
    """Who answered, after retries: as the load balancer notes it, else as an attribute."""
    if message.HasField("metadata_context"):
        metadata = message.metadata_context.filter_metadata
        if names.LB_NAMESPACE in metadata:
            fields = metadata[names.LB_NAMESPACE].fields
            if names.SERVED in fields and (served := fields[names.SERVED].string_value):
                return served
    if EXT_PROC_ATTRIBUTES in message.attributes:
        fields = message.attributes[EXT_PROC_ATTRIBUTES].fields
        if "upstream.address" in fields:
            return fields["upstream.address"].string_value
    return ""


def _subset(message: pb.ProcessingRequest) -> frozenset[str] | None:
    """The gateway's hint: a list of strings or one string with commas; None if there is none."""
    if not message.HasField("metadata_context"):
        return None
    metadata = message.metadata_context.filter_metadata
    if names.SUBSET_NAMESPACE not in metadata:
        return None
    fields = metadata[names.SUBSET_NAMESPACE].fields
    if names.SUBSET not in fields:
        return None
    hint = fields[names.SUBSET]
    match hint.WhichOneof("kind"):
        case "list_value":
            texts = [value.string_value for value in hint.list_value.values]
        case "string_value":
            texts = [hint.string_value]
        case _:
            return None
    entries = (entry.strip() for text in texts for entry in text.split(","))
    return frozenset(_bare(entry) for entry in entries if entry)


def _bare(entry: str) -> str:
    """`[::1]` is the address `::1`; `[::1]:80` stays as it is."""
    return entry[1:-1] if entry.startswith("[") and entry.endswith("]") else entry


def _control(message: pb.ProcessingRequest) -> Mapping[str, str] | None:
    if not message.HasField("metadata_context"):
        return None
    metadata = message.metadata_context.filter_metadata
    if names.CONTROL_NAMESPACE not in metadata:
        return None
    fields = metadata[names.CONTROL_NAMESPACE].fields
    return {key: value.string_value for key, value in fields.items()}


def _response_headers_answer(action: AnswerResponseHeaders) -> bytes:
    if not action.set_headers and not action.drop_content_length:
        return RESPONSE_HEADERS_GO_ON
    reply = pb.ProcessingResponse()
    mutation = reply.response_headers.response.header_mutation
    for key, value in action.set_headers.items():
        set_header(mutation, key, value)
    if action.drop_content_length:
        mutation.remove_headers.append("content-length")
    return reply.SerializeToString()


def _time_request(seconds: float) -> bytes:
    reply = pb.ProcessingResponse()
    reply.override_message_timeout.FromMilliseconds(int(seconds * 1000))
    return reply.SerializeToString()
