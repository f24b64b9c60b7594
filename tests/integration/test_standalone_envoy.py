"""The Envoy of the standalone chart: servers by name, a status port, a picker that goes."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from epp.envoyconfig.bootstrap import bootstrap
from epp.envoyconfig.settings import EnvoySettings, Mode
from epp.simulation.server import SimulatedServer
from tests.helpers.envoy import RunningEnvoy
from tests.helpers.picker import SERVER, running_picker
from tests.helpers.process import free_ports

PATH = "/v1/chat/completions"


def chat(prompt: str) -> dict[str, object]:
    return {
        "model": "sim",
        "max_tokens": 1,
        "messages": [{"role": "user", "content": prompt * 100}],
    }


@pytest.mark.parametrize("mode", list(Mode))
async def test_servers_by_name_are_picked_and_are_there_without_the_picker(mode: Mode) -> None:
    admin_port, status_port = free_ports(2)
    servers = [SimulatedServer(SERVER) for _ in range(3)]
    try:
        for server in servers:
            await server.start()
        with running_picker([f"127.0.0.1:{server.port}" for server in servers]) as picker:
            settings = EnvoySettings(
                listen_port=0,
                admin_port=admin_port,
                status_port=status_port,
                picker_port=picker.grpc_port,
                model_server_names=tuple(f"localhost:{server.port}" for server in servers),
                mode=mode,
            )
            with RunningEnvoy(bootstrap(settings)) as envoy:
                async with aiohttp.ClientSession() as client:
                    # A prompt goes where its prefix is; without the pick it would go round.
                    for prompt in ["one "] * 6 + ["two "] * 6:
                        async with client.post(envoy.url + PATH, json=chat(prompt)) as answer:
                            assert answer.status == 200
                    served = [await posts(client, server) for server in servers]
                    assert sum(served) == 12
                    assert {count % 6 for count in served} == {0}, served

                    status = f"http://127.0.0.1:{status_port}"
                    async with client.get(f"{status}/ready") as answer:
                        assert (answer.status, await answer.text()) == (200, "LIVE\n")
                    async with client.get(f"{status}/stats/prometheus") as answer:
                        assert "envoy_cluster_upstream_rq_total" in await answer.text()
                    async with client.post(f"{status}/quitquitquit") as answer:
                        assert answer.status == 404

                    picker.kill()
                    if mode is Mode.LIGHT:  # in full mode Envoy does not fail open with a body
                        for _ in range(6):
                            async with client.post(envoy.url + PATH, json=chat("x")) as answer:
                                assert answer.status == 200
    finally:
        # A connection that was accepted while the others ended gets its turn before its server.
        await asyncio.sleep(0.1)
        for server in servers:
            await server.stop()


async def posts(client: aiohttp.ClientSession, server: SimulatedServer) -> int:
    async with client.get(f"{server.url}/sim/requests") as answer:
        seen = (await answer.json())["requests"]
    return sum(one["method"] == "POST" for one in seen)
