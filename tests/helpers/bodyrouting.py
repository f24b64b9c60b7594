"""A real body router process, and an Envoy that asks it first and then one of two pickers."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from epp.envoyconfig.bootstrap import bootstrap
from epp.envoyconfig.clusters import PICKER_CLUSTER, POOL_CLUSTER
from epp.envoyconfig.protojson import address, typed
from epp.envoyconfig.settings import EnvoySettings, Mode
from epp.simulation.server import SimulatedServer
from epp.simulation.settings import ServerSettings
from tests.helpers.envoy import RunningEnvoy
from tests.helpers.picker import PickerProcess, running_picker
from tests.helpers.process import ServerProcess, new_folder

EXT_PROC = "envoy.filters.http.ext_proc"
EXTENSIONS = "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3"
PICKER_FILTER = f"{EXT_PROC}.picker"
ROUTER_CLUSTER = "body-router"
ROUTE_HEADER = "x-route"  # of a response: `pool-` and the model's place, or DEFAULT_ROUTE
DEFAULT_ROUTE = "default"
MODEL_HEADER = "x-gateway-model-name"
BASE_MODEL_HEADER = "x-gateway-base-model-name"

BODY_ONLY: Mapping[str, str] = {
    "request_header_mode": "SEND",
    "request_trailer_mode": "SEND",
    "response_header_mode": "SKIP",
    "response_body_mode": "NONE",
    "response_trailer_mode": "SKIP",
}
# The processing modes that gateways are seen to use with a body router.
PROCESSING: Mapping[str, Mapping[str, str]] = {
    "full": {**BODY_ONLY, "request_body_mode": "FULL_DUPLEX_STREAMED"},
    "buffered": {**BODY_ONLY, "request_body_mode": "BUFFERED"},
    # The body is sent only because the router asks for it, of the requests it wants to read.
    "on-request": {
        **BODY_ONLY,
        "request_body_mode": "NONE",
        "request_trailer_mode": "SKIP",
    },
    # Both directions in full, as the chart for Istio has it.
    "full-both-ways": {
        **dict.fromkeys(
            (
                *("request_header_mode", "response_header_mode"),
                *("request_trailer_mode", "response_trailer_mode"),
            ),
            "SEND",
        ),
        "request_body_mode": "FULL_DUPLEX_STREAMED",
        "response_body_mode": "FULL_DUPLEX_STREAMED",
    },
}


class BodyRouterProcess(ServerProcess):
    """`epp bbr`."""

    def __init__(
        self, flags: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(
            "the body router",
            new_folder("bbr-"),
            subcommand=["bbr"],
            flags=["-v", "4", *flags],
            environment=environment,
        )

    def outcomes(self) -> dict[str, int]:
        """Requests by outcome, of those that happened."""
        prefix = 'bbr_requests_total{outcome="'
        return {
            series.removeprefix(prefix).removesuffix('"}'): int(value)
            for series, value in self.metrics().items()
            if series.startswith(prefix) and value
        }


@contextmanager
def running_body_router(
    flags: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[BodyRouterProcess]:
    router = BodyRouterProcess(flags, environment)
    try:
        router.start()
        yield router
    finally:
        router.stop()


def chained_config(
    mode: Mode,
    processing: str,
    router_port: int,
    pools: Mapping[str, tuple[int, Sequence[str]]],
    *,
    retries: bool = True,
) -> dict[str, Any]:
    """Body router, then the picker of the pool that the model's header leads to.

    `pools` has for each header value the port of its picker and its model servers.
    """
    parts = {
        name: bootstrap(
            EnvoySettings(
                listen_port=0,
                admin_port=0,
                picker_port=port,
                model_servers=tuple(servers),
                mode=mode,
            )
        )
        for name, (port, servers) in pools.items()
    }
    config: dict[str, Any] = copy.deepcopy(next(iter(parts.values())))  # type: ignore[arg-type]
    resources = config["static_resources"]
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    [route] = manager["route_config"]["virtual_hosts"][0]["routes"]
    if not retries:
        del route["route"]["retry_policy"]
    resources["clusters"] = [_router_cluster(resources["clusters"][0], router_port)]
    routes = []
    for index, (name, part) in enumerate(parts.items()):
        picker, pool = part["static_resources"]["clusters"]  # type: ignore[index]
        _rename(picker, f"{PICKER_CLUSTER}-{index}")
        _rename(pool, f"{POOL_CLUSTER}-{index}")
        resources["clusters"] += [picker, pool]
        routes.append(_route_for(route, name, index))
    # Without the header: to the first pool, but past the pickers, so that a test sees both.
    rest_of_the_world = _route_for(route, "", 0)
    rest_of_the_world["typed_per_filter_config"] = {
        PICKER_FILTER: {"@type": f"{EXTENSIONS}.ExtProcPerRoute", "disabled": True}
    }
    routes.append(rest_of_the_world)
    manager["route_config"]["virtual_hosts"][0]["routes"] = routes
    manager["access_log"] = []
    strip, picker_filter, *rest = manager["http_filters"]
    picker_filter["name"] = PICKER_FILTER
    picker_filter["typed_config"]["grpc_service"]["envoy_grpc"]["cluster_name"] = "picker-0"
    manager["http_filters"] = [strip, _router_filter(processing), picker_filter, *rest]
    return config


def _router_filter(processing: str) -> dict[str, Any]:
    return typed(
        EXT_PROC,
        "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        grpc_service={"envoy_grpc": {"cluster_name": ROUTER_CLUSTER, "authority": "bbr"}},
        failure_mode_allow=False,
        allow_mode_override=True,
        processing_mode=dict(PROCESSING[processing]),
        message_timeout="10s",
    )


def _router_cluster(like: dict[str, Any], port: int) -> dict[str, Any]:
    cluster = copy.deepcopy(like)
    _rename(cluster, ROUTER_CLUSTER)
    cluster["load_assignment"]["endpoints"] = [
        {"lb_endpoints": [{"endpoint": {"address": address("127.0.0.1", port)}}]}
    ]
    return cluster


def _rename(cluster: dict[str, Any], name: str) -> None:
    cluster["name"] = name
    if "load_assignment" in cluster:
        cluster["load_assignment"]["cluster_name"] = name


def _route_for(like: dict[str, Any], model: str, index: int) -> dict[str, Any]:
    """Without a model it takes everything."""
    route = copy.deepcopy(like)
    if model:
        exact = {"string_match": {"exact": model}}
        route["match"]["headers"] = [{"name": MODEL_HEADER, **exact}]
    named = {"key": ROUTE_HEADER, "value": f"pool-{index}" if model else DEFAULT_ROUTE}
    route["response_headers_to_add"] = [{"header": named}]
    route["route"]["cluster"] = f"{POOL_CLUSTER}-{index}"
    service = {"envoy_grpc": {"cluster_name": f"{PICKER_CLUSTER}-{index}", "authority": "epp"}}
    route["typed_per_filter_config"] = {
        PICKER_FILTER: {
            "@type": f"{EXTENSIONS}.ExtProcPerRoute",
            "overrides": {"grpc_service": service},
        }
    }
    return route


@dataclass
class Chain:
    router: BodyRouterProcess
    envoy: RunningEnvoy
    servers: dict[str, SimulatedServer]  # by model
    pickers: dict[str, PickerProcess] = field(default_factory=dict)


@asynccontextmanager
async def running_chain(
    mode: Mode,
    processing: str,
    *,
    models: Sequence[str] = ("model-a", "model-b"),
    flags: Sequence[str] = (),
    retries: bool = True,
) -> AsyncIterator[Chain]:
    """For each model one simulated server with its own picker, and one route to them."""
    servers: dict[str, SimulatedServer] = {}
    try:
        for number, model in enumerate(models):
            settings = ServerSettings(name=f"sim-{number}", models=(model,), seed=number)
            servers[model] = SimulatedServer(settings)
            await servers[model].start()
        addresses = {model: [f"127.0.0.1:{one.port}"] for model, one in servers.items()}
        with running_body_router(flags) as router, _pickers(addresses) as pickers:
            pools = {model: (pickers[model].grpc_port, addresses[model]) for model in models}
            config = chained_config(mode, processing, router.grpc_port, pools, retries=retries)
            with RunningEnvoy(config) as envoy:
                yield Chain(router, envoy, servers, pickers)
    finally:
        for one in servers.values():
            await one.stop()


@contextmanager
def _pickers(addresses: Mapping[str, Sequence[str]]) -> Iterator[dict[str, PickerProcess]]:
    with ExitStack() as stack:
        yield {
            model: stack.enter_context(running_picker(servers))
            for model, servers in addresses.items()
        }
