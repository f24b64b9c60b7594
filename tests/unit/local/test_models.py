from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from epp.local.models import Served, served_by
from epp.simulation.server import SimulatedServer
from epp.simulation.settings import ServerSettings
from tests.helpers.process import free_ports


async def test_servers_are_told_apart_by_what_they_say_in_their_order() -> None:
    [closed] = free_ports(1)
    async with SimulatedServer(ServerSettings(models=("mine", "other"))) as server:
        unreachable, found = await served_by([f"127.0.0.1:{closed}", f"127.0.0.1:{server.port}"])
    assert found == Served("mine")
    assert unreachable.model == ""
    assert "Connect call failed" in unreachable.problem


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"data": []}', b"\xff"])
async def test_a_server_that_names_no_model_is_there_all_the_same(body: bytes) -> None:
    async def models(_request: web.Request) -> web.Response:
        return web.Response(body=body)

    application = web.Application()
    application.router.add_get("/v1/models", models)
    async with TestServer(application, host="127.0.0.1") as server:
        assert await served_by([f"127.0.0.1:{server.port}"]) == [Served()]
