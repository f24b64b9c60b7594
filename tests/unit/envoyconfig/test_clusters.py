from __future__ import annotations

from dataclasses import replace

import pytest

from epp.envoyconfig.clusters import clusters
from epp.envoyconfig.settings import Balancing, EnvoySettings

SETTINGS = EnvoySettings(
    listen_port=8080, picker_port=9002, model_servers=("10.0.0.1:8000", "[fd00::2]:8001")
)
ORIGINAL_DST = replace(SETTINGS, balancing=Balancing.ORIGINAL_DST)


def picker(settings):
    return clusters(settings)[0]


def pool(settings):
    return clusters(settings)[1]


def addresses(cluster):
    [locality] = cluster["load_assignment"]["endpoints"]
    sockets = [each["endpoint"]["address"]["socket_address"] for each in locality["lb_endpoints"]]
    return [(each["address"], each["port_value"]) for each in sockets]


def override_host(settings):
    [policy] = pool(settings)["load_balancing_policy"]["policies"]
    return policy["typed_extension_config"]["typed_config"]


@pytest.mark.parametrize(
    "settings", [SETTINGS, ORIGINAL_DST], ids=["override-host", "original-dst"]
)
def test_neither_cluster_has_the_limits_that_envoy_would_set(settings):
    for cluster in clusters(settings):
        assert cluster["circuit_breakers"]["thresholds"] == [
            {
                "max_connections": 100_000,
                "max_pending_requests": 100_000,
                "max_requests": 100_000,
                "max_retries": 1024,
            }
        ]


@pytest.mark.parametrize(
    "settings", [SETTINGS, ORIGINAL_DST], ids=["override-host", "original-dst"]
)
def test_the_picker_alone_judges_the_health_of_servers(settings):
    assert not {"health_checks", "outlier_detection"} & pool(settings).keys()


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        pytest.param("127.0.0.1", "STATIC", id="ipv4"),
        pytest.param("::1", "STATIC", id="ipv6"),
        pytest.param("epp.default.svc", "STRICT_DNS", id="name"),
    ],
)
def test_the_picker_may_have_a_name(host, kind):
    cluster = picker(replace(SETTINGS, picker_host=host))
    assert cluster["type"] == kind
    assert addresses(cluster) == [(host, 9002)]


def test_the_picker_speaks_http2_with_or_without_tls():
    for tls in (False, True):
        cluster = picker(replace(SETTINGS, picker_tls=tls))
        [options] = cluster["typed_extension_protocol_options"].values()
        http2 = options["explicit_http_config"]["http2_protocol_options"]
        assert http2["max_outbound_control_frames"] > 20_000  # streams that may end together
        assert ("transport_socket" in cluster) is tls
    context = cluster["transport_socket"]["typed_config"]["common_tls_context"]
    assert context["alpn_protocols"] == ["h2"]


def test_the_pool_holds_the_model_servers():
    cluster = pool(SETTINGS)
    assert cluster["type"] == "STATIC"
    assert addresses(cluster) == [("10.0.0.1", 8000), ("fd00::2", 8001)]


def test_idle_connections_are_closed_before_the_server_closes_them():
    for settings in (SETTINGS, ORIGINAL_DST):
        [options] = pool(settings)["typed_extension_protocol_options"].values()
        assert options["common_http_protocol_options"] == {"idle_timeout": "4.000s"}


def test_the_pick_comes_from_metadata_and_never_from_a_header():
    key = {"key": "envoy.lb", "path": [{"key": "x-gateway-destination-endpoint"}]}
    policy = override_host(SETTINGS)
    assert policy["override_host_sources"] == [{"metadata": key}]
    assert policy["selected_host_key"] == {
        "key": "envoy.lb",
        "path": [{"key": "x-gateway-destination-endpoint-served"}],
    }
    [fallback] = policy["fallback_policy"]["policies"]
    assert fallback["typed_extension_config"]["name"].endswith("least_request")


def test_an_older_release_does_not_say_who_served():
    assert "selected_host_key" not in override_host(replace(SETTINGS, envoy_version=(1, 37, 0)))


def test_original_dst_goes_where_the_header_says():
    cluster = pool(ORIGINAL_DST)
    assert cluster["type"] == "ORIGINAL_DST"
    assert cluster["lb_policy"] == "CLUSTER_PROVIDED"
    assert cluster["original_dst_lb_config"] == {
        "use_http_header": True,
        "http_header_name": "x-gateway-destination-endpoint",
    }
    assert "load_assignment" not in cluster


def test_servers_by_name_are_followed_through_dns():
    settings = replace(SETTINGS, model_servers=(), model_server_names=("gpus.example:8000",))
    [_, pool] = clusters(settings)
    dns = pool["cluster_type"]["typed_config"]
    assert (dns["dns_refresh_rate"], dns["dns_lookup_family"]) == ("1s", "ALL")
    [locality] = pool["load_assignment"]["endpoints"]
    [server] = locality["lb_endpoints"]
    assert server["endpoint"]["address"]["socket_address"] == {
        "address": "gpus.example",
        "port_value": 8000,
    }


def test_the_admin_interface_is_a_cluster_only_for_the_status_port():
    assert [made["name"] for made in clusters(replace(SETTINGS, admin_port=19000))] == [
        "picker",
        "pool",
    ]
    [*_, admin] = clusters(replace(SETTINGS, admin_port=19000, status_port=19001))
    assert admin["name"] == "admin"
