"""Where clients connect: the HTTP connection manager, its route with retries, its access log."""

from __future__ import annotations

from epp.envoyconfig.clusters import PICKER_CLUSTER, POOL_CLUSTER
from epp.envoyconfig.filters import http_filters
from epp.envoyconfig.protojson import Json, address, duration, typed
from epp.envoyconfig.refusals import local_replies
from epp.envoyconfig.settings import Balancing, EnvoySettings, Mode

LISTENER = "gateway"


def listener(settings: EnvoySettings) -> Json:
    return {
        "name": LISTENER,
        "address": address(settings.listen_host, settings.listen_port),
        # The limit of a buffered body, and of the body that a retry can send again.
        "per_connection_buffer_limit_bytes": settings.max_body_bytes,
        "filter_chains": [{"filters": [_connection_manager(settings)]}],
    }


def _connection_manager(settings: EnvoySettings) -> Json:
    light = settings.mode is Mode.LIGHT
    # In full mode Envoy keeps no body back that could be too large: the picker says it.
    refusals = {"local_reply_config": local_replies(settings.max_body_bytes)} if light else {}
    return typed(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=LISTENER,
        # In full mode nothing else ends a request that the picker never answers.
        stream_idle_timeout=duration(settings.stream_idle_timeout_seconds),
        http_protocol_options={
            "enable_trailers": True,
            # Load testers and old clients speak it; Envoy closes the connection without a word.
            "accept_http_10": True,
            "default_host_for_http_10": "localhost",
        },
        server_header_transformation="PASS_THROUGH",
        access_log=[_access_log(settings)] if light else [],
        route_config={
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [_route(settings)]}]
        },
        http_filters=http_filters(settings),
        **refusals,
    )


def _access_log(settings: EnvoySettings) -> Json:
    """To the picker itself: who served, how it ended, token usage, and what we said at the pick."""
    return typed(
        "envoy.access_loggers.http_grpc",
        "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
        common_config={
            "log_name": "epp",
            "transport_api_version": "V3",
            "buffer_flush_interval": duration(settings.access_log_flush_seconds),
            "grpc_service": {"envoy_grpc": {"cluster_name": PICKER_CLUSTER}},
        },
    )


def _route(settings: EnvoySettings) -> Json:
    return {
        "match": {"prefix": "/"},
        "route": {
            "cluster": POOL_CLUSTER,
            "timeout": "0s",  # an answer may take as long as it likes while it makes progress
            "retry_policy": _retry_policy(settings),
        },
    }


def _retry_policy(settings: EnvoySettings) -> Json:
    """Also where a server died before it answered: a prompt can be worked on twice without harm."""
    policy: Json = {
        "retry_on": "connect-failure,refused-stream,reset",
        "num_retries": 3,
        "retry_back_off": {"base_interval": duration(0.01), "max_interval": duration(0.1)},
    }
    if settings.balancing is Balancing.OVERRIDE_HOST:
        # After the last listed endpoint the fallback policy chooses, perhaps the dead one again.
        policy["retry_host_predicate"] = [
            typed(
                "envoy.retry_host_predicates.previous_hosts",
                "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            )
        ]
        policy["host_selection_retry_max_attempts"] = 5
    return policy
