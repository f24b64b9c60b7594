"""Protobuf to events and actions to protobuf, for a body router. Only this knows both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, assert_never

from epp._pb import ext_proc_pb2 as pb
from epp.bodyrouting.actions import Action, AnswerRequestBody, AnswerRequestHeaders, Note, Refuse
from epp.bodyrouting.events import Event, RequestHeaders, ResponseHeaders
from epp.extproc import body_messages
from epp.extproc.actions import (
    AnswerResponseBody,
    AnswerResponseHeaders,
    AnswerTrailers,
    EndStream,
    SendBody,
)
from epp.extproc.events import (
    BodyMode,
    RequestBody,
    RequestTrailers,
    ResponseBody,
    ResponseTrailers,
)
from epp.extproc.http_status import immediate
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

# Of the request the whole body, of the response nothing.
BODY_PLEASE: Final = pb.ProcessingMode(
    request_header_mode=pb.ProcessingMode.SEND,
    request_body_mode=pb.BUFFERED,
    request_trailer_mode=pb.ProcessingMode.SKIP,
    response_header_mode=pb.ProcessingMode.SKIP,
    response_body_mode=pb.NONE,
    response_trailer_mode=pb.ProcessingMode.SKIP,
)


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
        message = parsed(data)
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
                return ResponseHeaders(_response_mode(message))
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
                return body_pieces(action)
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
                return (RESPONSE_HEADERS_GO_ON,)
            case AnswerResponseBody():
                return (RESPONSE_BODY_GOES_ON,)
            case AnswerTrailers(phase):
                return (TRAILERS_GO_ON[phase],)
            case Refuse(refusal):
                return (immediate_message(immediate(refusal)),)
            case Note() | EndStream():
                return ()
            case _:
                assert_never(action)

    def _mutate(self, response: pb.CommonResponse, set_headers: Mapping[str, str]) -> None:
        # Also without a header: a route that was chosen by a client's own one must not stand.
        response.clear_route_cache = True
        mutation = response.header_mutation
        for key, value in set_headers.items():
            set_header(mutation, key, value)
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
        event.request_mode = body_mode(message.protocol_config.request_body_mode)
    event.response_mode = _response_mode(message)
    return event


def _response_mode(message: pb.ProcessingRequest) -> BodyMode:
    if message.HasField("protocol_config"):
        return body_mode(message.protocol_config.response_body_mode)
    return BodyMode.NONE


def _text(header: pb.HeaderValue) -> str:
    """`raw_value` wins over `value`."""
    return header.raw_value.decode("utf-8", "replace") or header.value
