"""What every codec of ext-proc reads and writes alike, the picker's and the body router's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from google.protobuf.message import DecodeError

from epp._pb import ext_proc_pb2 as pb
from epp.extproc import body_messages
from epp.extproc.actions import Immediate, Phase, SendBody
from epp.extproc.events import BodyMode

MAX_CHUNK_BYTES: Final = 62_000  # of a body message; gateways take at least this
OVERWRITE: Final = pb.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD

# Answers that are the same for every request.
RESPONSE_HEADERS_GO_ON: Final = pb.ProcessingResponse(
    response_headers=pb.HeadersResponse()
).SerializeToString()
RESPONSE_BODY_GOES_ON: Final = pb.ProcessingResponse(
    response_body=pb.BodyResponse()
).SerializeToString()
TRAILERS_GO_ON: Final = {
    Phase.REQUEST: pb.ProcessingResponse(
        request_trailers=pb.TrailersResponse()
    ).SerializeToString(),
    Phase.RESPONSE: pb.ProcessingResponse(
        response_trailers=pb.TrailersResponse()
    ).SerializeToString(),
}

_BODY_KINDS: Final = {
    Phase.REQUEST: body_messages.REQUEST_BODY,
    Phase.RESPONSE: body_messages.RESPONSE_BODY,
}
_MODES: Final = {mode.value: mode for mode in BodyMode}


class MalformedMessage(Exception):
    """The bytes are no ext-proc message."""


def parsed(data: bytes) -> pb.ProcessingRequest:
    """Raises MalformedMessage."""
    try:
        return pb.ProcessingRequest.FromString(data)
    except DecodeError as error:
        raise MalformedMessage(f"not a ProcessingRequest: {error}") from error


def body_mode(value: int) -> BodyMode:
    """Raises MalformedMessage."""
    mode = _MODES.get(value)
    if mode is None:
        raise MalformedMessage(f"unknown body mode {value}")
    return mode


def body_pieces(action: SendBody) -> Iterable[bytes]:
    """The messages that carry it, none with more than MAX_CHUNK_BYTES of it."""
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


def set_header(mutation: pb.HeaderMutation, key: str, value: str) -> None:
    """Replaces what the header had."""
    option = mutation.set_headers.add()
    option.header.key = key
    option.header.raw_value = value.encode("utf-8", "replace")
    option.append_action = OVERWRITE


def immediate_message(action: Immediate) -> bytes:
    reply = pb.ProcessingResponse()
    answer = reply.immediate_response
    answer.status.code = action.status
    for key, value in action.headers.items():
        set_header(answer.headers, key, value)
    answer.body = action.body
    answer.details = action.details
    return reply.SerializeToString()
