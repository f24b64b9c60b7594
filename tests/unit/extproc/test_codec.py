from __future__ import annotations

import pytest

from epp._pb import ext_proc_pb2 as pb
from epp.core.decision import record_of
from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.extproc import headers as names
from epp.extproc.actions import (
    AnswerRequestBody,
    AnswerRequestHeaders,
    AnswerResponseBody,
    AnswerResponseHeaders,
    AnswerTrailers,
    AskForTime,
    EndStream,
    Immediate,
    Phase,
    Route,
    SendBody,
)
from epp.extproc.codec import Codec
from epp.extproc.events import (
    BodyMode,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
)
from epp.extproc.messages import MAX_CHUNK_BYTES, MalformedMessage


def a_codec(**metadata: str) -> Codec:
    return Codec({k.replace("_", "-"): v for k, v in metadata.items()}, "here", "n0nce")


def header_map(*pairs: tuple[str, bytes]) -> pb.HeaderMap:
    return pb.HeaderMap(headers=[pb.HeaderValue(key=k, raw_value=v) for k, v in pairs])


def decode(message: pb.ProcessingRequest, codec: Codec | None = None) -> object:
    return (codec or a_codec()).decode(message.SerializeToString())


def replies(action: object) -> list[pb.ProcessingResponse]:
    encoded = a_codec().encode(action)  # type: ignore[arg-type]
    return [pb.ProcessingResponse.FromString(message) for message in encoded]


def request_headers(**fields: object) -> pb.ProcessingRequest:
    return pb.ProcessingRequest(
        request_headers=pb.HttpHeaders(headers=header_map((":path", b"/v1/models"))),
        **fields,  # type: ignore[arg-type]
    )


def hinted(hint: object) -> pb.ProcessingRequest:
    message = request_headers()
    struct = message.metadata_context.filter_metadata[names.SUBSET_NAMESPACE]
    struct.update({names.SUBSET: hint})
    return message


def test_request_headers_are_in_lower_case_and_the_first_of_two_counts() -> None:
    message = pb.ProcessingRequest(
        request_headers=pb.HttpHeaders(
            headers=header_map(("X-Request-Id", b"a"), ("x-request-id", b"b")), end_of_stream=True
        )
    )
    message.request_headers.headers.headers.add(key="only-value", value="v")
    event = decode(message)
    assert isinstance(event, RequestHeaders)
    assert event.headers == {"x-request-id": "a", "only-value": "v"}
    assert event.end_of_stream


def test_without_a_protocol_config_both_bodies_are_full_duplex() -> None:
    event = decode(request_headers())
    assert isinstance(event, RequestHeaders)
    assert (event.request_mode, event.response_mode) == (
        BodyMode.FULL_DUPLEX_STREAMED,
        BodyMode.FULL_DUPLEX_STREAMED,
    )


def test_the_protocol_config_says_how_bodies_come() -> None:
    config = pb.ProtocolConfiguration(request_body_mode=pb.BUFFERED, response_body_mode=pb.NONE)
    event = decode(request_headers(protocol_config=config))
    assert isinstance(event, RequestHeaders)
    assert (event.request_mode, event.response_mode) == (BodyMode.BUFFERED, BodyMode.NONE)


@pytest.mark.parametrize(
    ("hint", "subset"),
    [
        pytest.param(["10.0.0.1:80", "10.0.0.2"], {"10.0.0.1:80", "10.0.0.2"}, id="list"),
        pytest.param("10.0.0.1:80, 10.0.0.2:80", {"10.0.0.1:80", "10.0.0.2:80"}, id="string"),
        pytest.param(["10.0.0.1:80,10.0.0.2"], {"10.0.0.1:80", "10.0.0.2"}, id="list-of-commas"),
        pytest.param(["[fd00::1]", "[fd00::1]:80"], {"fd00::1", "[fd00::1]:80"}, id="ipv6"),
        pytest.param([], set(), id="empty-list"),
        pytest.param([1, None], set(), id="nothing-usable"),
        pytest.param(7, None, id="no-list-and-no-string"),
    ],
)
def test_the_subset_hint(hint: object, subset: set[str] | None) -> None:
    event = decode(hinted(hint))
    assert isinstance(event, RequestHeaders)
    assert event.subset == subset


def test_a_hint_can_come_with_the_body() -> None:
    message = hinted(["10.0.0.1"])
    message.request_body.body = b"x"
    event = decode(message)
    assert event == RequestBody(b"x", False, frozenset({"10.0.0.1"}))


def test_a_gateway_that_takes_lists_says_so_in_the_stream_metadata() -> None:
    event = decode(request_headers(), a_codec(x_epp_gateway="lists"))
    assert isinstance(event, RequestHeaders)
    assert event.takes_lists


@pytest.mark.parametrize("source", ["metadata", "attribute"])
def test_who_served(source: str) -> None:
    message = pb.ProcessingRequest(
        response_headers=pb.HttpHeaders(
            headers=header_map((":status", b"503"), ("content-type", b"text/plain"))
        )
    )
    if source == "metadata":
        struct = message.metadata_context.filter_metadata[names.LB_NAMESPACE]
        struct.update({names.SERVED: "10.0.0.7:80"})
    else:
        struct = message.attributes["envoy.filters.http.ext_proc"]
        struct.update({"upstream.address": "10.0.0.7:80"})
    event = decode(message)
    assert event == ResponseHeaders(503, "text/plain", served="10.0.0.7:80")


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (pb.ProcessingRequest(request_trailers=pb.HttpTrailers()), RequestTrailers()),
        (pb.ProcessingRequest(response_trailers=pb.HttpTrailers()), ResponseTrailers()),
        (
            pb.ProcessingRequest(response_body=pb.HttpBody(body=b"x", end_of_stream=True)),
            ResponseBody(b"x", True),
        ),
        (pb.ProcessingRequest(), None),
    ],
)
def test_other_messages(message: pb.ProcessingRequest, event: object) -> None:
    assert decode(message) == event


@pytest.mark.parametrize("data", [b"\xff\xff", b"\x12\x05"])
def test_bytes_that_are_no_message(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        a_codec().decode(data)


def test_a_pick_is_in_header_and_metadata_with_the_same_text() -> None:
    route = Route("10.0.0.1:80,10.0.0.2:80", {"content-length": "5"})
    [reply] = replies(AnswerRequestHeaders(route))
    common = reply.request_headers.response
    assert common.clear_route_cache
    options = {o.header.key: o for o in common.header_mutation.set_headers}
    assert options[names.DESTINATION].header.raw_value == b"10.0.0.1:80,10.0.0.2:80"
    assert options[names.DESTINATION].header.value == ""
    assert options[names.DESTINATION].append_action == (
        pb.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    )
    assert options["content-length"].header.raw_value == b"5"
    assert reply.dynamic_metadata["envoy.lb"][names.DESTINATION] == "10.0.0.1:80,10.0.0.2:80"
    assert "epp" not in reply.dynamic_metadata


@pytest.mark.parametrize(
    "header",
    [
        *("x-gateway-destination-endpoint-subset", "x-gateway-destination-endpoint-served"),
        *("x-gateway-destination-endpoint-scores", "x-prefiller-host-port"),
        *("x-encoder-hosts-ports", "x-data-parallel-host-port", "x-kv-cache-source-host-port"),
        *("x-llm-d-inference-objective", "x-gateway-inference-objective"),
        *("x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id"),
        *("x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite"),
        *("x-llm-d-slo-ttft-ms", "x-slo-ttft-ms", "x-llm-d-slo-tpot-ms", "x-slo-tpot-ms"),
    ],
)
def test_every_control_header_is_removed_in_every_mode(header: str) -> None:
    [early] = replies(AnswerRequestHeaders())
    assert header in early.request_headers.response.header_mutation.remove_headers
    [on_headers] = replies(AnswerRequestHeaders(Route("1.1.1.1:1")))
    assert header in on_headers.request_headers.response.header_mutation.remove_headers
    [on_body] = replies(AnswerRequestBody(Route("1.1.1.1:1")))
    assert header in on_body.request_body.response.header_mutation.remove_headers


def test_headers_of_a_later_version_of_the_protocol_are_read_all_the_same() -> None:
    message = request_headers(observability_mode=True, attributes={"a": {}})
    message.request_headers.MergeFromString(b"\xfa\x01\x01x")
    event = decode(message)
    assert isinstance(event, RequestHeaders)
    assert event.headers == {":path": "/v1/models"}


def test_what_stands_beside_headers_is_judged_too() -> None:
    good = request_headers().SerializeToString()
    with pytest.raises(MalformedMessage):
        a_codec().decode(good + b"\x5a\x01\x08")
    with pytest.raises(MalformedMessage, match="unknown body mode 77"):
        a_codec().decode(good + b"\x5a\x02\x08\x4d")


def test_the_clients_own_pick_is_removed_before_ours_is_known() -> None:
    [early] = replies(AnswerRequestHeaders())
    removed = early.request_headers.response.header_mutation.remove_headers
    assert names.DESTINATION in removed
    [later] = replies(AnswerRequestHeaders(Route("1.1.1.1:1")))
    assert names.DESTINATION not in later.request_headers.response.header_mutation.remove_headers


def test_facts_of_the_decision_travel_in_a_namespace_of_our_own() -> None:
    record = record_of(RequestFacts("r", model="m", target_model="t", priority=3), 1.0)
    record.picked = (Endpoint("a", "10.0.0.1", 80),)
    [reply] = replies(AnswerRequestBody(Route("10.0.0.1:80", record=record), b"new"))
    assert reply.request_body.response.body_mutation.body == b"new"
    facts = reply.dynamic_metadata["epp"]
    assert facts["nonce"] == "n0nce"
    assert facts["endpoint"] == "10.0.0.1:80"
    assert (facts["model"], facts["target_model"], facts["priority"]) == ("m", "t", 3)


def test_scores_stand_beside_the_pick() -> None:
    [reply] = replies(AnswerRequestHeaders(Route("10.0.0.1:80", scores={"10.0.0.1:80": 2.5})))
    balancing = reply.dynamic_metadata["envoy.lb"]
    assert balancing[names.SCORES]["10.0.0.1:80"] == 2.5


@pytest.mark.parametrize("size", [0, 1, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES + 1, 3 * MAX_CHUNK_BYTES])
@pytest.mark.parametrize("phase", list(Phase))
def test_a_body_is_cut_to_the_size_that_gateways_take(size: int, phase: Phase) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    messages = replies(SendBody(phase, data[:size], end_of_stream=True))
    pieces = [
        getattr(
            m, "request_body" if phase is Phase.REQUEST else "response_body"
        ).response.body_mutation.streamed_response
        for m in messages
    ]
    assert b"".join(piece.body for piece in pieces) == data[:size]
    assert all(len(piece.body) <= MAX_CHUNK_BYTES for piece in pieces)
    assert [piece.end_of_stream for piece in pieces] == [False] * (len(pieces) - 1) + [True]


def test_an_immediate_answer() -> None:
    [reply] = replies(Immediate(429, {"retry-after": "2"}, b"{}", "epp_full"))
    answer = reply.immediate_response
    assert (answer.status.code, answer.body, answer.details) == (429, b"{}", "epp_full")
    assert answer.headers.set_headers[0].header.raw_value == b"2"


def test_asking_for_time_is_a_message_without_an_answer() -> None:
    [reply] = replies(AskForTime(61.5))
    assert reply.WhichOneof("response") is None
    assert reply.override_message_timeout.ToMilliseconds() == 61_500


@pytest.mark.parametrize(
    ("action", "field"),
    [
        (AnswerRequestHeaders(), "request_headers"),
        (AnswerRequestBody(), "request_body"),
        (AnswerResponseHeaders(), "response_headers"),
        (AnswerResponseHeaders({"a": "b"}, drop_content_length=True), "response_headers"),
        (AnswerResponseBody(), "response_body"),
        (AnswerTrailers(Phase.REQUEST), "request_trailers"),
        (AnswerTrailers(Phase.REQUEST, Route("1.1.1.1:1")), "request_trailers"),
        (AnswerTrailers(Phase.RESPONSE), "response_trailers"),
    ],
)
def test_each_answer_is_of_its_phase(action: object, field: str) -> None:
    [reply] = replies(action)
    assert reply.WhichOneof("response") == field


def test_what_is_not_for_the_gateway_has_no_message() -> None:
    assert replies(EndStream()) == []
