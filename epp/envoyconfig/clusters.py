"""Whom Envoy talks to: the picker, and the pool of model servers that follows its picks."""

from __future__ import annotations

from epp.envoyconfig.protojson import Json, address, duration, metadata_key, typed
from epp.envoyconfig.settings import (
    Balancing,
    EnvoySettings,
    is_ip_literal,
    split_authority,
    split_name,
)

PICKER_CLUSTER = "picker"
POOL_CLUSTER = "pool"
ADMIN_CLUSTER = "admin"

LB_NAMESPACE = "envoy.lb"
DESTINATION = "x-gateway-destination-endpoint"

MAX_CONTROL_FRAMES = 100_000  # that wait to be written, resets above all

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
LB_POLICIES = "envoy.extensions.load_balancing_policies"


def clusters(settings: EnvoySettings) -> list[Json]:
    made = [_picker(settings), _pool(settings)]
    if settings.status_port is not None and settings.admin_port is not None:
        made.append(_admin(settings.admin_host, settings.admin_port))
    return made


def _admin(host: str, port: int) -> Json:
    """Envoy's own admin interface, of which the status listener shows two pages."""
    return {
        **_common(ADMIN_CLUSTER),
        "type": "STATIC",
        "load_assignment": _assignment(ADMIN_CLUSTER, [address(host, port)]),
    }


def _picker(settings: EnvoySettings) -> Json:
    cluster = {
        **_common(PICKER_CLUSTER),
        "type": "STATIC" if is_ip_literal(settings.picker_host) else "STRICT_DNS",
        "load_assignment": _assignment(
            PICKER_CLUSTER, [address(settings.picker_host, settings.picker_port)]
        ),
        "typed_extension_protocol_options": _http_options(
            explicit_http_config={
                "http2_protocol_options": {
                    # Envoy resets each of its streams to the picker at the end. With the default,
                    # a thousand that end together close the connection and all that is on it.
                    "max_outbound_control_frames": MAX_CONTROL_FRAMES
                }
            }
        ),
    }
    if settings.picker_tls:
        cluster["transport_socket"] = typed(
            "envoy.transport_sockets.tls",
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            common_tls_context={"alpn_protocols": ["h2"]},
        )
    return cluster


def _pool(settings: EnvoySettings) -> Json:
    """Without health checks: whether a server is fit to serve is the picker's business."""
    cluster = {
        **_common(POOL_CLUSTER),
        "typed_extension_protocol_options": _http_options(
            explicit_http_config={"http_protocol_options": {}},
            common_http_protocol_options={
                "idle_timeout": duration(settings.server_idle_timeout_seconds)
            },
        ),
    }
    match settings.balancing:
        case Balancing.OVERRIDE_HOST:
            return {
                **cluster,
                **_known_servers(settings),
                "load_balancing_policy": _override_host(settings),
            }
        case Balancing.ORIGINAL_DST:
            return {
                **cluster,
                "type": "ORIGINAL_DST",
                "lb_policy": "CLUSTER_PROVIDED",
                "original_dst_lb_config": {
                    "use_http_header": True,
                    "http_header_name": DESTINATION,
                },
            }


def _known_servers(settings: EnvoySettings) -> Json:
    if not settings.model_server_names:
        servers = [address(*split_authority(server)) for server in settings.model_servers]
        return {"type": "STATIC", "load_assignment": _assignment(POOL_CLUSTER, servers)}
    names = [address(*split_name(server)) for server in settings.model_server_names]
    return {
        "cluster_type": typed(
            "envoy.cluster.dns",
            "envoy.extensions.clusters.dns.v3.DnsCluster",
            # Until Envoy knows a new server, requests that it is picked for go to another one.
            dns_refresh_rate="1s",
            dns_failure_refresh_rate={"base_interval": "1s", "max_interval": "5s"},
            dns_lookup_family="ALL",
        ),
        "load_assignment": _assignment(POOL_CLUSTER, names),
    }


def _override_host(settings: EnvoySettings) -> Json:
    """The endpoints of the pick in turn; without a pick, or after its last, the least busy."""
    policy: Json = {
        "override_host_sources": [{"metadata": metadata_key(LB_NAMESPACE, DESTINATION)}],
        "fallback_policy": _policies(
            typed(
                "envoy.load_balancing_policies.least_request",
                f"{LB_POLICIES}.least_request.v3.LeastRequest",
            )
        ),
    }
    if settings.has_selected_host:
        policy["selected_host_key"] = metadata_key(LB_NAMESPACE, f"{DESTINATION}-served")
    return _policies(
        typed(
            "envoy.load_balancing_policies.override_host",
            f"{LB_POLICIES}.override_host.v3.OverrideHost",
            **policy,
        )
    )


def _policies(policy: Json) -> Json:
    return {"policies": [{"typed_extension_config": policy}]}


def _common(name: str) -> Json:
    # By default Envoy allows 1024 requests and 3 retries at a time. An ext-proc stream lives as
    # long as its answer, so the 1025th would be bypassed; and how much a server takes is for the
    # picker to decide.
    limits = {
        "max_connections": 100_000,
        "max_pending_requests": 100_000,
        "max_requests": 100_000,
        "max_retries": 1024,
    }
    return {
        "name": name,
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [limits]},
    }


def _http_options(**fields: object) -> Json:
    return {HTTP_OPTIONS: {"@type": f"type.googleapis.com/{HTTP_OPTIONS}", **fields}}


def _assignment(cluster: str, addresses: list[Json]) -> Json:
    endpoints = [{"endpoint": {"address": each}} for each in addresses]
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": endpoints}]}
