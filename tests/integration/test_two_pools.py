"""The two pools of `manifests/overlays/two-pools` behind one Envoy, proven by its own script.

The documents of the pickers are those of the overlay, the routes do what its HTTPRoutes say, and
the script is the one for live clusters. What sets the model header there is not in this test.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from epp.envoyconfig.bootstrap import bootstrap
from epp.envoyconfig.clusters import clusters
from epp.envoyconfig.settings import EnvoySettings, Mode
from epp.simulation.server import SimulatedServer
from epp.simulation.settings import ServerSettings
from tests.helpers.envoy import RunningEnvoy
from tests.helpers.picker import PickerProcess, running_picker

OVERLAY = Path(__file__).parents[2] / "manifests/overlays/two-pools"
POOLS = ("reasoning", "governance")
ADAPTERS = ("reasoning-audit", "reasoning-support")
# Of little room, so that a few users fill it.
SERVER = ServerSettings(max_num_seqs=4)
SECONDS = 90.0


def document(pool: str) -> dict[str, Any]:
    values = yaml.safe_load((OVERLAY / f"pools/{pool}-values.yaml").read_text(encoding="utf-8"))
    [text] = values["router"]["epp"]["pluginsCustomConfig"].values()
    read: dict[str, Any] = yaml.safe_load(text)
    return {key: read[key] for key in ("plugins", "schedulingProfiles", "routing")}


def routes() -> list[dict[str, Any]]:
    """Of the overlay's HTTPRoutes: model, pool, and the objective header that is set."""
    found = []
    for route in yaml.safe_load_all((OVERLAY / "pools/routes.yaml").read_text(encoding="utf-8")):
        for rule in route["spec"]["rules"]:
            [backend] = rule["backendRefs"]
            [[header]] = [one["requestHeaderModifier"]["set"] for one in rule["filters"]]
            for match in rule["matches"]:
                [condition] = match["headers"]
                found.append({"model": condition["value"], "pool": backend["name"], **header})
    return found


def as_envoy_has_it(route: dict[str, Any]) -> dict[str, Any]:
    """A route as Istio programs it: its own picker, and the header after ext-proc."""
    config = "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute"
    service = {"envoy_grpc": {"cluster_name": f"picker-{route['pool']}"}}
    model = {"name": "x-gateway-model-name", "string_match": {"exact": route["model"]}}
    header = {"key": route["name"], "value": route["value"]}
    return {
        "match": {"prefix": "/", "headers": [model]},
        "route": {"cluster": f"pool-{route['pool']}", "timeout": "0s"},
        "request_headers_to_add": [
            {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        ],
        "typed_per_filter_config": {
            "envoy.filters.http.ext_proc": {
                "@type": config,
                "overrides": {"grpc_service": service},
            }
        },
    }


def gateway(settings: dict[str, EnvoySettings]) -> dict[str, Any]:
    """One Envoy with both pools, in the full mode of foreign gateways."""
    config: dict[str, Any] = bootstrap(settings["reasoning"])
    resources = config["static_resources"]
    for pool, of_pool in settings.items():
        for cluster in clusters(of_pool):
            name = f"{cluster['name']}-{pool}"
            assignment = {**cluster["load_assignment"], "cluster_name": name}  # type: ignore[dict-item]
            resources["clusters"].append({**cluster, "name": name, "load_assignment": assignment})
    [chain] = resources["listeners"][0]["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    [host] = manager["route_config"]["virtual_hosts"]
    host["routes"] = [as_envoy_has_it(route) for route in routes()]
    return config


@pytest.fixture
async def site() -> AsyncIterator[tuple[str, dict[str, PickerProcess]]]:
    async with AsyncExitStack() as stack:
        pickers, settings = {}, {}
        for pool in POOLS:
            adapters = ADAPTERS if pool == "reasoning" else ()
            addresses = []
            for _ in range(2):
                server = SimulatedServer(replace(SERVER, models=(pool,), adapters=adapters))
                await server.start()
                stack.push_async_callback(server.stop)
                addresses.append(f"127.0.0.1:{server.port}")
            # A connection that was accepted while the others ended gets its turn before its server.
            stack.push_async_callback(asyncio.sleep, 0.1)
            picker = stack.enter_context(running_picker(addresses, document=document(pool)))
            pickers[pool] = picker
            settings[pool] = EnvoySettings(
                listen_port=0,
                admin_port=0,
                picker_port=picker.grpc_port,
                model_servers=tuple(addresses),
                mode=Mode.FULL,
            )
        envoy = stack.enter_context(RunningEnvoy(gateway(settings)))
        yield envoy.url, pickers


async def verify(url: str, pickers: dict[str, PickerProcess], *options: str) -> tuple[int, str]:
    logs = [f"--{pool}-log=cat {picker.folder}/log" for pool, picker in pickers.items()]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(OVERLAY / "verify.py"),
        *(f"--url={url}", "--send-model-header", *logs, *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_routing_and_priority_hold(site: tuple[str, dict[str, PickerProcess]]) -> None:
    status, output = await verify(*site, "--users=40", "--seconds=10")
    assert status == 0, output
    assert "FAIL" not in output
    assert "in a full pool audits wait" in output


async def test_the_script_sees_a_wrong_priority(
    site: tuple[str, dict[str, PickerProcess]],
) -> None:
    """Pickers the wrong way round: every request is decided by the other pool's."""
    url, pickers = site
    swapped = {"reasoning": pickers["governance"], "governance": pickers["reasoning"]}
    status, output = await verify(url, swapped, "--count=1")
    assert status == 1
    assert "FAIL  governance: decided by ['reasoning'] with priority [100], wanted gov" in output


async def test_the_script_does_not_call_an_empty_pool_proof(
    site: tuple[str, dict[str, PickerProcess]],
) -> None:
    status, output = await verify(*site, "--count=1", "--users=1", "--seconds=1")
    assert status == 3, output
    assert "the pool was not full" in output
