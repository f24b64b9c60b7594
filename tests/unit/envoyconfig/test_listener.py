from __future__ import annotations

from dataclasses import replace

import pytest

from epp.envoyconfig.filters import http_filters
from epp.envoyconfig.listener import listener
from epp.envoyconfig.settings import Balancing, EnvoySettings, Mode

LIGHT = EnvoySettings(listen_port=8080, picker_port=9002, model_servers=("127.0.0.1:8000",))
FULL = replace(LIGHT, mode=Mode.FULL)


def connection_manager(settings):
    [chain] = listener(settings)["filter_chains"]
    [network_filter] = chain["filters"]
    return network_filter["typed_config"]


def route(settings):
    [host] = connection_manager(settings)["route_config"]["virtual_hosts"]
    [only] = host["routes"]
    assert only["match"] == {"prefix": "/"}
    return only["route"]


def test_it_listens_where_it_is_told_and_buffers_as_much_as_it_may():
    made = listener(replace(LIGHT, listen_host="::1", max_body_bytes=1000))
    assert made["address"] == {"socket_address": {"address": "::1", "port_value": 8080}}
    assert made["per_connection_buffer_limit_bytes"] == 1000


def test_an_answer_passes_as_the_server_gave_it():
    manager = connection_manager(LIGHT)
    assert manager["server_header_transformation"] == "PASS_THROUGH"
    assert manager["http_protocol_options"]["enable_trailers"] is True
    assert manager["http_filters"] == http_filters(LIGHT)


def test_a_silent_stream_ends_and_a_busy_one_does_not():
    settings = replace(LIGHT, stream_idle_timeout_seconds=800)
    assert connection_manager(settings)["stream_idle_timeout"] == "800.000s"
    assert route(settings)["timeout"] == "0s"


def test_light_mode_sends_the_access_log_to_the_picker():
    [log] = connection_manager(replace(LIGHT, access_log_flush_seconds=0.25))["access_log"]
    common = log["typed_config"]["common_config"]
    assert common["buffer_flush_interval"] == "0.250s"
    assert common["grpc_service"] == {"envoy_grpc": {"cluster_name": "picker"}}


def test_full_mode_has_no_access_log():
    assert connection_manager(FULL)["access_log"] == []


@pytest.mark.parametrize("settings", [LIGHT, FULL], ids=["light", "full"])
def test_a_retry_goes_to_another_server(settings):
    policy = route(settings)["retry_policy"]
    assert policy["retry_on"] == "connect-failure,refused-stream,reset"
    assert policy["num_retries"] == 3
    [predicate] = policy["retry_host_predicate"]
    assert predicate["name"] == "envoy.retry_host_predicates.previous_hosts"
    assert policy["host_selection_retry_max_attempts"] == 5


def test_original_dst_has_no_other_server():
    policy = route(replace(LIGHT, balancing=Balancing.ORIGINAL_DST))["retry_policy"]
    assert policy["num_retries"] == 3
    assert "retry_host_predicate" not in policy
