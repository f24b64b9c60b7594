"""Protobuf to events and actions to protobuf, for a body router. Only this knows both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, assert_never

from google.protobuf.message import DecodeError

from epp._pb import ext_proc_pb2 as pb
from epp.bodyrouting.actions import (
    Action,
    AnswerRequestBody,
    AnswerRequestHeaders,
    AnswerResponseBody,
    AnswerResponseHeaders,
    AnswerTrailers,
    EndStream,
    Note,
    Phase,
    Refuse,
    SendBody,
)
from epp.bodyrouting.events import (
    Event,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
)
from epp.core.refusal import Refused
from epp.extproc import body_messages
from epp.extproc.events import BodyMode
from epp.extproc.http_status import immediate

MAX_CHUNK_BYTES: Final = 62_000  # of a body message; gateways take at least this
OVERWRITE: Final = pb.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD

# Of the request the whole body, of the response nothing.
BODY_PLEASE: Final = pb.ProcessingMode(
    request_header_mode=pb.ProcessingMode.SEND,
    request_body_mode=pb.BUFFERED,
    request_trailer_mode=pb.ProcessingMode.SKIP,
    response_header_mode=pb.ProcessingMode.SKIP,
    response_body_mode=pb.NONE,
    response_trailer_mode=pb.ProcessingMode.SKIP,
)

_BODY_KINDS: Final = {
    Phase.REQUEST: body_messages.REQUEST_BODY,
    Phase.RESPONSE: body_messages.RESPONSE_BODY,
}
_RESPONSE_HEADERS_GO_ON: Final = pb.ProcessingResponse(
    response_headers=pb.HeadersResponse()
).SerializeToString()
_RESPONSE_BODY_GOES_ON: Final = pb.ProcessingResponse(
    response_body=pb.BodyResponse()
).SerializeToString()
_TRAILERS_GO_ON: Final = {
    Phase.REQUEST: pb.ProcessingResponse(
        request_trailers=pb.TrailersResponse()
    ).SerializeToString(),
    Phase.RESPONSE: pb.ProcessingResponse(
        response_trailers=pb.TrailersResponse()
    ).SerializeToString(),
}


class MalformedMessage(Exception):
    """The bytes are no ext-proc message."""


class BodyCodec:
    """One for the process: it keeps nothing of a stream."""

    __slots__ = ("_ours",)

    def __init__(self, headers: Iterable[str]) -> None:
        """`headers` are those that a client may never set."""
        self._ours = tuple(headers)

    def decode(self, data: bytes) -> Event | None:
        """None for a message of a kind that asks for nothing. Raises MalformedMessage."""
        if (found := body_messages.read(data)) is not None:
            kind, chunk, last = found
            if kind == body_messages.RESPONSE_BODY:
                return ResponseBody(chunk, last)
            return RequestBody(chunk, last)
        try:
            message = pb.ProcessingRequest.FromString(data)
        except DecodeError as error:
            raise MalformedMessage(f"not a ProcessingRequest: {error}") from error
        match message.WhichOneof("request"):
            case "request_body":
                body = message.request_body
                return RequestBody(body.body, body.end_of_stream)
            case "response_body":
                body = message.response_body
                return ResponseBody(body.body, body.end_of_stream)
            case "request_headers":
                return _request_headers(message)
            case "response_headers":
                return ResponseHeaders()
            case "request_trailers":
                return RequestTrailers()
            case "response_trailers":
                return ResponseTrailers()
            case _:
                return None

    def encode(self, action: Action) -> Iterable[bytes]:
        """The messages that say it, in order; none for what is not for the gateway."""
        match action:
            case SendBody():
                return _body_messages(action)
            case AnswerRequestHeaders(set_headers, ask_for_body):
                reply = pb.ProcessingResponse()
                self._mutate(reply.request_headers.response, set_headers)
                if ask_for_body:
                    reply.mode_override.CopyFrom(BODY_PLEASE)
                return (reply.SerializeToString(),)
            case AnswerRequestBody(set_headers):
                reply = pb.ProcessingResponse()
                self._mutate(reply.request_body.response, set_headers)
                return (reply.SerializeToString(),)
            case AnswerResponseHeaders():
                return (_RESPONSE_HEADERS_GO_ON,)
            case AnswerResponseBody():
                return (_RESPONSE_BODY_GOES_ON,)
            case AnswerTrailers(phase):
                return (_TRAILERS_GO_ON[phase],)
            case Refuse(refusal):
                return (_immediate(refusal),)
            case Note() | EndStream():
                return ()
            case _:
                assert_never(action)

    def _mutate(self, response: pb.CommonResponse, set_headers: Mapping[str, str]) -> None:
        # Also without a header: a route that was chosen by a client's own one must not stand.
        response.clear_route_cache = True
        mutation = response.header_mutation
        for key, value in set_headers.items():
            _set(mutation, key, value)
        mutation.remove_headers.extend(name for name in self._ours if name not in set_headers)


def _request_headers(message: pb.ProcessingRequest) -> RequestHeaders:
    head = message.request_headers
    found = {header.key.lower(): _text(header) for header in reversed(head.headers.headers)}
    event = RequestHeaders(
        found.get(":method", ""),
        found.get("content-type", ""),
        found.get("content-encoding", ""),
        head.end_of_stream,
    )
    if message.HasField("protocol_config"):
        event.request_mode = _mode(message.protocol_config.request_body_mode)
        event.response_mode = _mode(message.protocol_config.response_body_mode)
    return event


def _mode(value: int) -> BodyMode:
    try:
        return BodyMode(value)
    except ValueError:
        raise MalformedMessage(f"unknown body mode {value}") from None


def _text(header: pb.HeaderValue) -> str:
    """`raw_value` wins over `value`."""
    return header.raw_value.decode("utf-8", "replace") or header.value


def _set(mutation: pb.HeaderMutation, key: str, value: str) -> None:
    option = mutation.set_headers.add()
    option.header.key = key
    option.header.raw_value = value.encode()
    option.append_action = OVERWRITE


def _body_messages(action: SendBody) -> Iterable[bytes]:
    kind = _BODY_KINDS[action.phase]
    data, size, last = action.data, len(action.data), action.end_of_stream
    if size <= MAX_CHUNK_BYTES:
        return (body_messages.reply(kind, data, end_of_stream=last),)
    view = memoryview(data)
    return [
        body_messages.reply(
            kind,
            view[at : at + MAX_CHUNK_BYTES],
            end_of_stream=last and at + MAX_CHUNK_BYTES >= size,
        )
        for at in range(0, size, MAX_CHUNK_BYTES)
    ]


def _immediate(refusal: Refused) -> bytes:
    answer = immediate(refusal)
    reply = pb.ProcessingResponse()
    reply.immediate_response.status.code = answer.status
    for key, value in answer.headers.items():
        _set(reply.immediate_response.headers, key, value)
    reply.immediate_response.body = answer.body
    reply.immediate_response.details = answer.details
    return reply.SerializeToString()
