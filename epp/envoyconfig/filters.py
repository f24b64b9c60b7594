"""The HTTP filters, in the order in which a request meets them."""

from __future__ import annotations

from epp.envoyconfig.clusters import DESTINATION, LB_NAMESPACE, PICKER_CLUSTER
from epp.envoyconfig.protojson import Json, duration, typed
from epp.envoyconfig.settings import Balancing, EnvoySettings, Mode

# Our own metadata namespace: what a decision wants remembered comes back in the access log entry.
EPP_NAMESPACE = "epp"
SUBSET_NAMESPACE = "envoy.lb.subset_hint"

# A model server or a load balancer would connect to where these say, or believe what they say.
CLIENT_ROUTING_HEADERS = (
    DESTINATION,
    f"{DESTINATION}-subset",
    f"{DESTINATION}-served",
    f"{DESTINATION}-scores",
    "x-prefiller-host-port",
    "x-encoder-hosts-ports",
    "x-data-parallel-host-port",
    "x-kv-cache-source-host-port",
    "x-llm-d-request-dropped-reason",
)


def http_filters(settings: EnvoySettings) -> list[Json]:
    filters = [_strip_client_routing(), _ask_picker(settings)]
    if settings.has_token_usage:
        filters.append(_token_usage())
    filters.append(router())
    return filters


def _strip_client_routing() -> Json:
    """Before the picker is asked, because fail-open skips the picker but not this."""
    return typed(
        "envoy.filters.http.header_mutation",
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={"request_mutations": [{"remove": name} for name in CLIENT_ROUTING_HEADERS]},
    )


def _ask_picker(settings: EnvoySettings) -> Json:
    forwarded = [LB_NAMESPACE, SUBSET_NAMESPACE] if settings.subset_hint else [LB_NAMESPACE]
    return typed(
        "envoy.filters.http.ext_proc",
        "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        grpc_service=_picker_service(settings),
        failure_mode_allow=settings.fail_open,
        status_on_error={"code": "ServiceUnavailable"},
        processing_mode=_processing_mode(settings.mode),
        message_timeout=duration(settings.message_timeout_seconds),
        # Without it, or above it, Envoy ignores a picker that asks for time and bypasses it.
        max_message_timeout=duration(settings.max_message_timeout_seconds),
        response_attributes=["upstream.address", "response.code_details"],
        metadata_options={
            "forwarding_namespaces": {"untyped": forwarded},
            "receiving_namespaces": {"untyped": [LB_NAMESPACE, EPP_NAMESPACE]},
        },
    )


def _picker_service(settings: EnvoySettings) -> Json:
    service: Json = {"envoy_grpc": {"cluster_name": PICKER_CLUSTER, "authority": "epp"}}
    if settings.balancing is Balancing.OVERRIDE_HOST:
        # An ORIGINAL_DST cluster answers 503 to a list, so it must not be promised there.
        service["initial_metadata"] = [{"key": "x-epp-gateway", "value": "lists"}]
    return service


def _processing_mode(mode: Mode) -> Json:
    full = mode is Mode.FULL
    return {
        "request_header_mode": "SEND",
        "request_body_mode": "FULL_DUPLEX_STREAMED" if full else "BUFFERED",
        "request_trailer_mode": "SEND" if full else "SKIP",
        # In light mode Envoy holds the stream open until the response is over: its end is seen.
        "response_header_mode": "SEND",
        "response_body_mode": "FULL_DUPLEX_STREAMED" if full else "NONE",
        "response_trailer_mode": "SEND" if full else "SKIP",
    }


def _token_usage() -> Json:
    """Reads usage from JSON and SSE answers into metadata, so that the access log carries it."""
    return typed(
        "envoy.filters.http.ai_protocol_manager",
        "envoy.extensions.filters.http.ai_protocol_manager.v3.AiProtocolManager",
        response_handling={"token_usage": {"include_unconfigured_routes": True}},
    )


def router() -> Json:
    return typed(
        "envoy.filters.http.router",
        "envoy.extensions.filters.http.router.v3.Router",
        suppress_envoy_headers=True,
    )
