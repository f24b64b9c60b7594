from __future__ import annotations

from dataclasses import replace

import pytest

from epp.envoyconfig.filters import http_filters
from epp.envoyconfig.settings import Balancing, EnvoySettings, Mode

LIGHT = EnvoySettings(listen_port=8080, picker_port=9002, model_servers=("127.0.0.1:8000",))
FULL = replace(LIGHT, mode=Mode.FULL)


def names(settings):
    return [each["name"].removeprefix("envoy.filters.http.") for each in http_filters(settings)]


def ext_proc(settings):
    [config] = [
        each["typed_config"] for each in http_filters(settings) if each["name"].endswith("ext_proc")
    ]
    return config


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param(
            LIGHT,
            ["header_mutation", "ext_proc", "ai_protocol_manager", "router"],
            id="light reads token usage",
        ),
        pytest.param(
            replace(LIGHT, envoy_version=(1, 39, 2)),
            ["header_mutation", "ext_proc", "router"],
            id="an older release cannot",
        ),
        pytest.param(
            FULL, ["header_mutation", "ext_proc", "router"], id="full sees the answer itself"
        ),
    ],
)
def test_the_order_of_the_filters(settings, expected):
    assert names(settings) == expected


def test_every_routing_header_of_the_client_is_removed():
    strip = http_filters(LIGHT)[0]["typed_config"]
    assert [mutation["remove"] for mutation in strip["mutations"]["request_mutations"]] == [
        "x-gateway-destination-endpoint",
        "x-gateway-destination-endpoint-subset",
        "x-gateway-destination-endpoint-served",
        "x-gateway-destination-endpoint-scores",
        "x-prefiller-host-port",
        "x-encoder-hosts-ports",
        "x-data-parallel-host-port",
        "x-kv-cache-source-host-port",
        "x-llm-d-request-dropped-reason",
    ]


def test_light_mode_buffers_the_request_and_leaves_the_answer_alone():
    assert ext_proc(LIGHT)["processing_mode"] == {
        "request_header_mode": "SEND",
        "request_body_mode": "BUFFERED",
        "request_trailer_mode": "SKIP",
        "response_header_mode": "SEND",
        "response_body_mode": "NONE",
        "response_trailer_mode": "SKIP",
    }


def test_full_mode_streams_both_ways():
    assert ext_proc(FULL)["processing_mode"] == {
        "request_header_mode": "SEND",
        "request_body_mode": "FULL_DUPLEX_STREAMED",
        "request_trailer_mode": "SEND",
        "response_header_mode": "SEND",
        "response_body_mode": "FULL_DUPLEX_STREAMED",
        "response_trailer_mode": "SEND",
    }


def test_the_picker_is_promised_lists_only_where_the_cluster_takes_them():
    service = ext_proc(LIGHT)["grpc_service"]
    assert service["initial_metadata"] == [{"key": "x-epp-gateway", "value": "lists"}]
    original_dst = replace(LIGHT, balancing=Balancing.ORIGINAL_DST)
    assert "initial_metadata" not in ext_proc(original_dst)["grpc_service"]


@pytest.mark.parametrize(
    ("subset_hint", "forwarded"),
    [
        pytest.param(True, ["envoy.lb", "envoy.lb.subset_hint"], id="with the hint"),
        pytest.param(False, ["envoy.lb"], id="without"),
    ],
)
def test_metadata_namespaces(subset_hint, forwarded):
    options = ext_proc(replace(LIGHT, subset_hint=subset_hint))["metadata_options"]
    assert options["forwarding_namespaces"] == {"untyped": forwarded}
    assert options["receiving_namespaces"] == {"untyped": ["envoy.lb", "epp"]}


@pytest.mark.parametrize("fail_open", [True, False])
def test_failing_and_waiting(fail_open):
    config = ext_proc(
        replace(
            LIGHT,
            fail_open=fail_open,
            message_timeout_seconds=1.5,
            max_message_timeout_seconds=60,
        )
    )
    assert config["failure_mode_allow"] is fail_open
    assert config["status_on_error"] == {"code": "ServiceUnavailable"}
    assert config["message_timeout"] == "1.500s"
    assert config["max_message_timeout"] == "60.000s"


def test_the_answer_says_who_served_and_how():
    assert ext_proc(LIGHT)["response_attributes"] == ["upstream.address", "response.code_details"]
