"""The shell around the election, over HTTP to a small server that keeps one lease."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from epp.app.election.election import Election
from epp.app.election.elector import Elector
from epp.app.election.settings import ElectionSettings, lease_name
from epp.app.kubernetes_api import KubernetesApi

COLLECTION = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"
NAME = lease_name("ns", "pool")
END_SECONDS = 20.0


class LeaseApi:
    """Creates, reads and replaces one object, with versions."""

    def __init__(self) -> None:
        self.document: dict[str, Any] | None = None
        self.refusal = 0  # the status of every answer, where it is not 0
        self.calls: list[str] = []
        self.url = ""
        self._version = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.calls.append(f"{request.method} {request.path}")
        if self.refusal:
            answer = {"reason": "Forbidden", "message": "not you"}
            return web.json_response(answer, status=self.refusal)
        if request.method == "GET":
            if self.document is None:
                return web.json_response({"reason": "NotFound"}, status=404)
            return web.json_response(self.document)
        body = await request.json()
        seen = body["metadata"].get("resourceVersion")
        held = self.document["metadata"]["resourceVersion"] if self.document else None
        if seen != held:
            return web.json_response({"reason": "Conflict"}, status=409)
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        self.document = body
        return web.json_response(body, status=201 if request.method == "POST" else 200)

    @property
    def holder(self) -> str:
        return str(self.document["spec"]["holderIdentity"]) if self.document else ""

    async def client(self) -> Any:
        from kubernetes.aio.client import ApiClient, Configuration

        return ApiClient(Configuration(host=self.url))


@pytest.fixture
async def server() -> AsyncIterator[LeaseApi]:
    server = LeaseApi()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.handle)
    async with TestServer(app) as running:
        server.url = str(running.make_url("")).rstrip("/")
        yield server


class Running:
    """A candidate in the race, and what it told."""

    def __init__(self, server: LeaseApi, identity: str = "a") -> None:
        quick = ElectionSettings(
            identity, lease_seconds=1, renew_deadline_seconds=0.5, retry_seconds=0.02
        )
        self.api = KubernetesApi(server.client, random.Random(1), attempts=1)
        self.told: list[bool] = []
        self.elector = Elector(
            Election(quick, random.Random(1)),
            self.api,
            "ns",
            NAME,
            self.told.append,
            time.monotonic,
        )
        self.task = asyncio.ensure_future(self.elector.run())

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.api.close()


@pytest.fixture
async def candidate(server: LeaseApi) -> AsyncIterator[Running]:
    running = Running(server)
    yield running
    await running.stop()


@pytest.fixture
async def rival(server: LeaseApi) -> AsyncIterator[Running]:
    running = Running(server, "b")
    yield running
    await running.stop()


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(END_SECONDS):
        while not check():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_it_leads_renews_and_resigns(server: LeaseApi, candidate: Running) -> None:
    await until(lambda: candidate.told)
    assert candidate.told == [True]
    assert server.calls[:2] == [f"GET {COLLECTION}/{NAME}", f"POST {COLLECTION}"]
    assert server.holder == "a"
    await until(lambda: server.calls.count(f"PUT {COLLECTION}/{NAME}") >= 2)
    candidate.elector.resign()
    assert candidate.told == [True, False]  # at once, before anyone else can know
    await until(lambda: server.holder == "")
    written = len(server.calls)
    await asyncio.sleep(0.1)
    assert len(server.calls) == written
    assert not candidate.task.done()  # a loop that ends would end the process


async def test_however_it_ends_the_lease_is_given_back(
    server: LeaseApi, candidate: Running
) -> None:
    await until(lambda: candidate.told)
    candidate.task.cancel()
    await asyncio.wait([candidate.task])
    assert candidate.task.cancelled()
    assert candidate.told == [True, False]
    assert server.holder == ""


async def test_who_cannot_renew_steps_down_at_the_deadline_and_comes_back(
    server: LeaseApi, candidate: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await until(lambda: candidate.told)
    server.refusal = 403
    await until(lambda: len(candidate.told) == 2)
    server.refusal = 0
    await until(lambda: len(candidate.told) == 3)
    assert candidate.told == [True, False, True]
    said = [record.getMessage() for record in caplog.records]
    assert "the lease can be had again" in said
    failures = [line for line in said if line.startswith("the lease cannot be had")]
    # One line for each kind of failure, however often it happened.
    assert failures == [
        "the lease cannot be had: update leases in namespace ns: 403 Forbidden: not you",
        "the lease cannot be had: get leases in namespace ns: 403 Forbidden: not you",
    ]


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"metadata": {}}, "metadata.resourceVersion: is missing"),
        (
            {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": 7}},
            "spec.holderIdentity: is not a text",
        ),
    ],
)
async def test_an_object_that_is_no_lease_is_told_and_looked_at_again(
    server: LeaseApi,
    candidate: Running,
    caplog: pytest.LogCaptureFixture,
    document: dict[str, Any],
    place: str,
) -> None:
    server.document = document  # before the candidate has had its first turn
    await until(lambda: len(server.calls) >= 3)
    assert candidate.told == []
    assert [record.getMessage() for record in caplog.records] == [
        f"the lease cannot be had: ns/{NAME}: {place}"
    ]
    server.document = None
    await until(lambda: candidate.told)


async def test_of_two_one_leads_and_the_other_takes_over(
    server: LeaseApi, candidate: Running, rival: Running
) -> None:
    first, second = candidate, rival
    await until(lambda: first.told or second.told)
    leader, other = (first, second) if first.told else (second, first)
    await until(lambda: len(server.calls) > 20)
    assert other.told == []
    leader.elector.resign()
    await until(lambda: other.told)
    assert other.told == [True]
