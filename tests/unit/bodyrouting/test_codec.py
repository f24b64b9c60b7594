from __future__ import annotations

from typing import Any

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as xds

from epp.bodyrouting.actions import AnswerRequestBody, AnswerRequestHeaders, Note, Outcome, Refuse
from epp.bodyrouting.codec import BodyCodec
from epp.bodyrouting.events import Event, RequestHeaders, ResponseHeaders
from epp.bodyrouting.settings import BASE_MODEL_HEADER, MODEL_HEADER, RoutingSettings
from epp.core.refusal import Reason, Refused
from epp.extproc.actions import (
    AnswerResponseBody,
    AnswerResponseHeaders,
    AnswerTrailers,
    EndStream,
    Phase,
    SendBody,
)
from epp.extproc.events import (
    BodyMode,
    RequestBody,
    RequestTrailers,
    ResponseBody,
    ResponseTrailers,
)
from epp.extproc.messages import MAX_CHUNK_BYTES, MalformedMessage
from tests.helpers import gateway

CODEC = BodyCodec(RoutingSettings().headers())


def sent(action: Any) -> list[Any]:
    return [xds.ProcessingResponse.FromString(message) for message in CODEC.encode(action)]


def headers_of(mutation: Any) -> dict[str, bytes]:
    return {option.header.key: option.header.raw_value for option in mutation.set_headers}


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (gateway.request_body(b"x", True), RequestBody(b"x", True)),
        (gateway.request_body(b"", False), RequestBody(b"", False)),
        (gateway.request_trailers(), RequestTrailers()),
        (gateway.response_headers(), ResponseHeaders()),
        (gateway.response_body(b"y", False), ResponseBody(b"y", False)),
        (xds.ProcessingRequest(response_trailers={}), ResponseTrailers()),
        (xds.ProcessingRequest(), None),
        # With metadata beside it, a body is no message for the fast reader.
        (
            xds.ProcessingRequest(request_body={"body": b"z"}, metadata_context={}),
            RequestBody(b"z", False),
        ),
        (
            xds.ProcessingRequest(response_body={"body": b"z"}, metadata_context={}),
            ResponseBody(b"z", False),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_messages_are_read(message: Any, event: Event | None) -> None:
    assert CODEC.decode(message.SerializeToString()) == event


def test_request_headers_are_read_in_either_form_and_any_case() -> None:
    message = gateway.request_headers(gateway.BUFFERED, gateway.NONE)
    message.request_headers.headers.headers.add(key="Content-Type", value="application/json")
    message.request_headers.headers.headers.add(key="content-encoding", raw_value=b"gzip")
    assert CODEC.decode(message.SerializeToString()) == RequestHeaders(
        "POST",
        "application/json",
        "gzip",
        request_mode=BodyMode.BUFFERED,
        response_mode=BodyMode.NONE,
    )


def test_a_gateway_that_says_no_mode_means_full_duplex() -> None:
    message = gateway.request_headers(end_of_stream=True)
    message.ClearField("protocol_config")
    event = CODEC.decode(message.SerializeToString())
    assert event == RequestHeaders("POST", end_of_stream=True)
    assert event.request_mode is BodyMode.FULL_DUPLEX_STREAMED


@pytest.mark.parametrize("data", [b"\xff\xff", b"\x12\x05\x0a"])
def test_what_is_no_message_is_told(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        CODEC.decode(data)


def test_an_unknown_body_mode_is_told() -> None:
    message = gateway.request_headers()
    message.protocol_config.request_body_mode = 5
    with pytest.raises(MalformedMessage, match="body mode 5"):
        CODEC.decode(message.SerializeToString())


def test_headers_are_set_or_else_the_clients_own_are_removed() -> None:
    [reply] = sent(AnswerRequestHeaders({MODEL_HEADER: "мо"}))
    common = reply.request_headers.response
    assert common.clear_route_cache
    assert headers_of(common.header_mutation) == {MODEL_HEADER: "мо".encode()}
    assert list(common.header_mutation.remove_headers) == [BASE_MODEL_HEADER]
    assert not reply.HasField("mode_override")
    [reply] = sent(AnswerRequestBody())
    common = reply.request_body.response
    assert common.clear_route_cache
    assert set(common.header_mutation.remove_headers) == {MODEL_HEADER, BASE_MODEL_HEADER}
    assert not common.HasField("body_mutation")


def test_the_whole_body_is_asked_for_and_no_response() -> None:
    [reply] = sent(AnswerRequestHeaders(ask_for_body=True))
    mode = reply.mode_override
    assert mode.request_body_mode == gateway.BUFFERED
    assert mode.response_body_mode == gateway.NONE
    assert mode.response_header_mode == mode.SKIP
    assert mode.response_trailer_mode == mode.SKIP


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("size", [0, 1, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES + 1, 5 * MAX_CHUNK_BYTES])
@pytest.mark.parametrize("last", [False, True])
def test_a_body_goes_out_in_pieces_that_gateways_take(phase: Phase, size: int, last: bool) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    replies = sent(SendBody(phase, data[:size], last))
    kind = "request_body" if phase is Phase.REQUEST else "response_body"
    pieces = [getattr(r, kind).response.body_mutation.streamed_response for r in replies]
    assert b"".join(piece.body for piece in pieces) == data[:size]
    assert all(len(piece.body) <= 64 * 1024 for piece in pieces)
    assert [piece.end_of_stream for piece in pieces] == [False] * (len(pieces) - 1) + [last]


def test_a_refusal_is_the_answer_to_the_client() -> None:
    [reply] = sent(Refuse(Refused(Reason.BODY_TOO_LARGE, "much too large")))
    answer = reply.immediate_response
    assert answer.status.code == 413
    assert headers_of(answer.headers)["x-llm-d-request-dropped-reason"] == b"body-too-large"
    assert b"much too large" in answer.body


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        (AnswerResponseHeaders(), "response_headers"),
        (AnswerResponseBody(), "response_body"),
        (AnswerTrailers(Phase.REQUEST), "request_trailers"),
        (AnswerTrailers(Phase.RESPONSE), "response_trailers"),
    ],
    ids=lambda value: str(value),
)
def test_the_rest_goes_on_as_it_is(action: Any, kind: str) -> None:
    [reply] = sent(action)
    assert reply.WhichOneof("response") == kind
    assert reply.ByteSize() <= 2


def test_what_is_not_for_the_gateway_is_not_sent() -> None:
    assert sent(Note(Outcome.SUCCESS)) == sent(EndStream()) == []
