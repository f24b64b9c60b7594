"""Calls over the official client, to a small HTTP server in place of the API server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from epp.app.kubernetes_api import Answer, ApiUnavailable, KubernetesApi
from epp.datalayer.discovery.kubernetes.client import ClusterConfigError

PATH = "/apis/x/v1/things"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers as the test says; remembers how it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, object]] = []
        self.answer: Handler = self._echo
        self.url = ""
        self.clients = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.path, body))
        return await self.answer(request)

    async def _echo(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"token": request.headers.get("authorization")}, status=201)

    async def client(self) -> Any:
        from kubernetes.aio.client import ApiClient, Configuration

        self.clients += 1
        configuration = Configuration(host=self.url)
        configuration.api_key["BearerToken"] = f"Bearer token-{self.clients}"
        return ApiClient(configuration)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.handle)
    async with TestServer(app) as running:
        server.url = str(running.make_url("")).rstrip("/")
        yield server


@pytest.fixture
async def api(server: Server) -> AsyncIterator[KubernetesApi]:
    api = KubernetesApi(server.client, random.Random(1), call_seconds=5.0)
    yield api
    await api.close()


async def test_a_call_carries_its_body_and_our_credentials(
    api: KubernetesApi, server: Server
) -> None:
    answer = await api.call("POST", PATH, {"spec": {"a": 1}})
    assert answer == Answer(201, {"token": "Bearer token-1"})
    assert answer.ok
    assert server.asked == [("POST", PATH, {"spec": {"a": 1}})]
    await asyncio.gather(*(api.call("GET", PATH) for _ in range(5)))
    assert server.clients == 1


async def test_a_refusal_is_an_answer_with_its_text(api: KubernetesApi, server: Server) -> None:
    async def refuse(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"reason": "Forbidden", "message": "not you"}, status=403)

    server.answer = refuse
    answer = await api.call("GET", PATH)
    assert not answer.ok
    assert answer.text == "403 Forbidden: not you"
    assert len(server.asked) == 1


@pytest.mark.parametrize("body", [b"", b"not json", b"[1]", b'"text"'])
async def test_a_body_that_is_no_object_is_empty(
    api: KubernetesApi, server: Server, body: bytes
) -> None:
    async def odd(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=502, body=body)

    server.answer = odd
    assert await api.call("GET", PATH) == Answer(502, {})


async def test_refused_credentials_are_read_again_but_not_all_the_time(
    api: KubernetesApi, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        good = request.headers.get("authorization") == "Bearer token-2"
        return web.json_response({}, status=200 if good else 401)

    server.answer = refuse
    assert (await api.call("GET", PATH)).status == 401  # just connected: too early
    assert server.clients == 1
    monkeypatch.setattr("epp.app.kubernetes_api.RENEWAL_SECONDS", 0.0)
    answers = await asyncio.gather(*(api.call("GET", PATH) for _ in range(5)))
    assert {answer.status for answer in answers} == {200}
    assert server.clients == 2


async def test_a_connection_that_breaks_is_tried_again_once(
    api: KubernetesApi, server: Server
) -> None:
    async def breaks(request: web.Request) -> web.StreamResponse:
        if len(server.asked) == 1:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"at_last": True})

    server.answer = breaks
    assert (await api.call("POST", PATH, {})).document == {"at_last": True}
    assert len(server.asked) == 2


async def test_a_server_that_does_not_answer_has_an_end(server: Server) -> None:
    async def silent(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        raise AssertionError("the call should have been given up")

    api = KubernetesApi(server.client, random.Random(1), call_seconds=1.0, attempts=2)
    try:
        await api.call("GET", PATH)
        server.answer = silent
        with pytest.raises(ApiUnavailable, match=rf"GET {PATH}: no answer in 1 s"):
            await api.call("GET", PATH)
        assert len(server.asked) == 3
    finally:
        await api.close()


async def test_what_is_not_configured_is_no_answer_either() -> None:
    async def nothing() -> Any:
        raise ClusterConfigError("no kubeconfig")

    api = KubernetesApi(nothing, random.Random(1))
    with pytest.raises(ApiUnavailable, match="no kubeconfig"):
        await api.call("GET", PATH)
    await api.close()
