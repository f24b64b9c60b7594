from __future__ import annotations

import pytest
from envoy.config.core.v3 import base_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as xds
from hypothesis import given
from hypothesis import strategies as st

from epp.core.decision import DecisionRecord, record_of
from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.extproc import headers as names
from epp.extproc import route_messages
from epp.extproc.actions import Route
from epp.extproc.route_messages import KEPT_CHARACTERS, REQUEST_BODY, REQUEST_HEADERS

OVERWRITE = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
TEXT = st.text(max_size=40) | st.sampled_from(["", "x" * 130, "y" * (KEPT_CHARACTERS + 1)])
ROUTES = st.builds(
    Route,
    destination=TEXT,
    set_headers=st.dictionaries(TEXT, TEXT, max_size=4),
    scores=st.none() | st.dictionaries(TEXT, st.floats(allow_nan=False), max_size=3),
    trace_headers=st.none() | st.dictionaries(TEXT, TEXT, max_size=2),
)


def expected_mutation(mutation: xds.HeaderMutation, route: Route) -> None:
    pairs = [(names.DESTINATION, route.destination), *route.set_headers.items()]
    for key, value in (*pairs, *(route.trace_headers or {}).items()):
        option = mutation.set_headers.add(append_action=OVERWRITE)
        option.header.key, option.header.raw_value = key, value.encode()
    mutation.remove_headers.extend(names.STRIPPED)


def expected_metadata(reply: xds.ProcessingResponse, route: Route) -> None:
    balancing: dict[str, object] = {names.DESTINATION: route.destination}
    if route.scores:
        balancing[names.SCORES] = dict(route.scores)
    reply.dynamic_metadata.update({names.LB_NAMESPACE: balancing})


@given(route=ROUTES, replacement=st.none() | st.binary(max_size=300), flow=st.none() | TEXT)
def test_another_codec_reads_what_was_meant(
    route: Route, replacement: bytes | None, flow: str | None
) -> None:
    facts = b"" if flow is None else route_messages.facts_struct("i", "n", a_record(flow=flow))
    for kind, name in ((REQUEST_HEADERS, "request_headers"), (REQUEST_BODY, "request_body")):
        reply = xds.ProcessingResponse()
        common = getattr(reply, name).response
        common.clear_route_cache = True
        expected_mutation(common.header_mutation, route)
        if replacement is not None:
            common.body_mutation.body = replacement
        expected_metadata(reply, route)
        if facts:
            own = reply.dynamic_metadata.fields[names.OWN_NAMESPACE]
            own.struct_value.ParseFromString(facts)
        written = route_messages.answer(kind, route, facts, replacement)
        assert xds.ProcessingResponse.FromString(written) == reply


@given(route=ROUTES)
def test_trailers_carry_the_metadata_only(route: Route) -> None:
    reply = xds.ProcessingResponse(request_trailers=xds.TrailersResponse())
    expected_metadata(reply, route)
    written = route_messages.trailers_answer(route, b"")
    assert xds.ProcessingResponse.FromString(written) == reply


def a_record(**fields: object) -> DecisionRecord:
    facts = RequestFacts("r", model="m", target_model="t", priority=-3, prompt_tokens=7)
    record = record_of(facts, 1.0)
    record.picked = (Endpoint("a", "10.0.0.1", 80),)
    for name, value in fields.items():
        setattr(record, name, value)
    return record


def test_the_facts_of_a_decision() -> None:
    record = a_record(cached_tokens=2, waited_seconds=0.12345678, flow="team-1")
    facts = route_messages.facts_struct("i", "n", record)
    written = route_messages.answer(REQUEST_BODY, Route("10.0.0.1:80"), facts)
    metadata = xds.ProcessingResponse.FromString(written).dynamic_metadata
    assert dict(metadata[names.OWN_NAMESPACE]) == {
        "instance": "i",
        "nonce": "n",
        "endpoint": "10.0.0.1:80",
        "model": "m",
        "target_model": "t",
        "flow": "team-1",
        "priority": -3,
        "prompt_tokens": 7,
        "cached_tokens": 2,
        "waited_seconds": 0.123457,
    }


@pytest.mark.parametrize("kind", [REQUEST_HEADERS, REQUEST_BODY])
def test_what_the_picker_sets_of_routing_is_not_removed_and_the_rest_is(kind: bytes) -> None:
    own = {"x-prefiller-host-port": "10.0.0.2:80", "x-request-id": "r"}
    written = route_messages.answer(kind, Route("10.0.0.1:80", own), b"")
    reply = xds.ProcessingResponse.FromString(written)
    common = reply.request_headers if kind == REQUEST_HEADERS else reply.request_body
    mutation = common.response.header_mutation
    pairs = {o.header.key: (o.header.raw_value, o.append_action) for o in mutation.set_headers}
    assert pairs["x-prefiller-host-port"] == (b"10.0.0.2:80", OVERWRITE)
    assert "x-prefiller-host-port" not in mutation.remove_headers
    assert {"x-encoder-hosts-ports", "x-data-parallel-host-port"} <= set(mutation.remove_headers)


@pytest.mark.parametrize("flow", ["\udce9quipe", "f" * 60_000])
def test_a_flow_that_a_client_named_oddly_does_no_harm(flow: str) -> None:
    facts = route_messages.facts_struct("i", "n", a_record(flow=flow))
    written = route_messages.answer(REQUEST_BODY, Route("10.0.0.1:80"), facts)
    metadata = xds.ProcessingResponse.FromString(written).dynamic_metadata
    assert metadata[names.OWN_NAMESPACE]["flow"] == flow.replace("\udce9", "?")


def test_a_header_that_is_no_text_does_no_harm() -> None:
    route = Route("10.0.0.1:80", {"x-request-id": "\udcff"})
    reply = xds.ProcessingResponse.FromString(route_messages.answer(REQUEST_HEADERS, route, b""))
    option = reply.request_headers.response.header_mutation.set_headers[1]
    assert option.header.raw_value == b"?"


def test_what_is_kept_is_bounded() -> None:
    caches = [
        *(route_messages._before_pick, route_messages._around_metadata),
        *(route_messages._kept_header, route_messages._kept_texts, route_messages._kept_endpoint),
    ]
    assert {cache.cache_info().maxsize for cache in caches} == {route_messages.KEPT_PARTS}
    before = [cache.cache_info() for cache in caches[2:4]]
    long = "f" * (KEPT_CHARACTERS + 1)
    facts = route_messages.facts_struct("i", "n", a_record(flow=long))
    route_messages.answer(REQUEST_BODY, Route("10.0.0.1:80", {"x-request-id": long}), facts)
    assert [cache.cache_info() for cache in caches[2:4]] == before
