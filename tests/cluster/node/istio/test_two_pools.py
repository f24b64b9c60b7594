"""Two pools behind Istio: its control plane, an upstream Envoy, and what our chart installs."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.cluster.api import Api
from tests.cluster.build import Built
from tests.cluster.definitions import install, read_definitions
from tests.cluster.load import Answer, ask, running_load
from tests.cluster.node.cluster import Cluster
from tests.cluster.node.helm import Helm
from tests.cluster.node.istio.build import GIVEN, the_istio
from tests.cluster.node.istio.control_plane import running_istiod
from tests.cluster.node.istio.two_pools import (
    OVERLAYS,
    POOLS,
    TwoPools,
    installed_pools,
    make_system_namespace,
)
from tests.cluster.node.objects import container
from tests.cluster.tools import Tools
from tests.cluster.waiting import eventually

MARK = "x-test-mark"
DESTINATION = "x-gateway-destination-endpoint"
VERIFY_SECONDS = 120.0
ASKED = 20


@pytest.fixture(scope="module")
def pools(
    cluster: Cluster, tools: Tools, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TwoPools]:
    program = the_istio().pilot_discovery
    if not program.exists():
        pytest.skip(
            f"no {program}: `make istio` builds Istio's control plane, which needs Go,"
            f" or {GIVEN} names one"
        )

    async def furnish() -> None:
        async with cluster.api() as api:
            theirs = [
                path for path in tools.crds.iterdir() if path.name.startswith(("istio", "sigs"))
            ]
            await install(api, read_definitions(*sorted(theirs)))
            await make_system_namespace(api)

    asyncio.run(furnish())
    folder = tmp_path_factory.mktemp("istiod")
    with (
        running_istiod(program, cluster.kubeconfig, folder) as xds,
        installed_pools(cluster, Helm(tools, cluster.kubeconfig), xds) as found,
    ):
        yield found


@pytest.fixture
async def api(pools: TwoPools) -> AsyncIterator[Api]:
    async with pools.cluster.api() as client:
        yield client


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as client:
        yield client


async def decided(pools: TwoPools, api: Api, pool: str, since: float, count: int) -> list[Any]:
    """So many lines of the pickers' request log, once they are there."""
    found: list[Any] = []

    async def enough() -> bool:
        found[:] = await pools.decisions(api, pool, since)
        return len(found) >= count

    await eventually(f"{count} requests in the log of {pool}", enough, 30.0)
    return found


async def marked(session: aiohttp.ClientSession, server: str, mark: str) -> list[Any]:
    """Requests that reached a model server with this value of a header of ours."""
    async with session.get(f"http://{server}/sim/requests") as answer:
        found = (await answer.json())["requests"]
    return [one for one in found if [MARK, mark] in one["headers"]]


async def test_the_script_of_the_two_pools_proves_routing_and_order(
    pools: TwoPools, built: Built, tmp_path: Path
) -> None:
    """With bodies alone: pools by model, claims that count for nothing, audits before the rest."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\nexec {built.program} kubectl "$@"\n')
    kubectl.chmod(0o755)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(OVERLAYS / "two-pools/verify.py"),
        *(f"--url={pools.url}", f"--namespace={pools.namespace}", "--users=40", "--seconds=15"),
        env={
            **os.environ,
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "KUBECONFIG": str(pools.cluster.kubeconfig),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), VERIFY_SECONDS)
    assert process.returncode == 0, output.decode()
    assert b"in a full pool audits wait" in output


@pytest.mark.parametrize("size", [100, 10_000, 5_000_000])
@pytest.mark.parametrize("pool", POOLS)
async def test_a_body_of_any_size_reaches_its_pool_unchanged(
    pools: TwoPools, api: Api, session: aiohttp.ClientSession, pool: str, size: int
) -> None:
    """The model is named at the end: two filters, one after the other, hold the whole of it."""
    body = f'{{"prompt": "{"ab c" * (size // 4)}", "model": "{pool}"}}'.encode()
    mark = uuid.uuid4().hex
    async with session.post(
        f"{pools.url}/tokenize", data=io.BytesIO(body), headers={MARK: mark}
    ) as answer:
        assert answer.status == 200, await answer.text()
    for other in POOLS:
        servers = await pools.servers(api, other)
        seen = [one for server in servers for one in await marked(session, server, mark)]
        digests = [one["body_sha256"] for one in seen]
        assert digests == ([hashlib.sha256(body).hexdigest()] if other == pool else [])


async def test_an_answer_is_streamed_through_two_processors(
    pools: TwoPools, api: Api, session: aiohttp.ClientSession
) -> None:
    since = time.time()
    answer = await ask(session, pools.url, "Count.", model="reasoning", tokens=50, stream=True)
    assert answer.status == 200, answer.text
    [line] = await decided(pools, api, "reasoning", since, 1)
    assert line["ttft_ms"] < line["duration_ms"]


async def test_a_model_of_no_route_is_not_found(
    pools: TwoPools, session: aiohttp.ClientSession
) -> None:
    answer = await ask(
        session, pools.url, "Hello", model="nobody", headers={"X-Gateway-Model-Name": "reasoning"}
    )
    assert answer.status == 404


async def test_a_client_does_not_choose_the_server(
    pools: TwoPools, api: Api, session: aiohttp.ClientSession
) -> None:
    [wrong, *_] = await pools.servers(api, "governance")
    mark = uuid.uuid4().hex
    headers = {MARK: mark, DESTINATION: wrong}
    answer = await ask(session, pools.url, "Hello", model="reasoning", headers=headers)
    assert answer.status == 200, answer.text
    assert await marked(session, wrong, mark) == []


@asynccontextmanager
async def changed(
    pools: TwoPools, api: Api, pool: str, *values: str, files: tuple[Path, ...] = ()
) -> AsyncIterator[None]:
    """The pool's release is another inside the block, and as it was after it."""
    try:
        await pools.change(api, pool, *values, files=files)
        yield
    finally:
        await pools.change(api, pool)


async def decides(pools: TwoPools, api: Api, session: aiohttp.ClientSession, pool: str) -> None:
    """Waits until the pool's picker is asked, and answers come."""
    since = time.time()

    async def asked() -> bool:
        answer = await ask(session, pools.url, "Hello", model=pool)
        return answer.status == 200 and bool(await pools.decisions(api, pool, since))

    await eventually(f"the picker of {pool} is asked", asked, 30.0)


async def test_who_served_arrives_at_the_picker(
    pools: TwoPools, api: Api, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Of a list of two the gateway cannot reach the first: it asks the second, and says so."""
    with_lists = tmp_path / "lists.yaml"
    with_lists.write_text(yaml.safe_dump(values_with_lists()))
    async with (
        changed(pools, api, "governance", files=(with_lists,)),
        pools.one_more_server(api, "governance") as lost,
    ):
        others = set(await pools.servers(api, "governance")) - {lost}
        since = time.time()
        answers: list[Answer] = []

        async def asked_in_vain() -> list[dict[str, Any]]:
            prompt = f"Say {len(answers)}."
            answers.append(await ask(session, pools.url, prompt, model="governance"))
            lines = await pools.decisions(api, "governance", since)
            return [line for line in lines if line["endpoint"] == lost]

        envoy = container(await pools.gateway_pod(api), "envoy")["containerID"]
        with pools.cluster.cut_off(envoy, lost.partition(":")[0]):
            await eventually("the lost server is picked", asked_in_vain, 30.0)
        assert {answer.status for answer in answers} == {200}
        lines = await decided(pools, api, "governance", since, len(answers))
    for line in lines:
        if line["endpoint"] == lost:
            assert line["served"] in others
        else:
            assert "served" not in line


async def test_an_answer_that_is_a_refusal_is_not_asked_for_again(
    pools: TwoPools, api: Api, session: aiohttp.ClientSession
) -> None:
    servers = await pools.servers(api, "governance")
    for server in servers:
        await fail(session, server, 1)
    try:
        answer = await ask(session, pools.url, "Hello", model="governance")
        assert answer.status == 503
        left = [(await stats(session, server))["planned_failures"] for server in servers]
        assert sorted(left) == [0, 1]
    finally:
        for server in servers:
            await fail(session, server, 0)


async def fail(session: aiohttp.ClientSession, server: str, times: int) -> None:
    order = {"status": 503, "times": times}
    async with session.post(f"http://{server}/sim/fail", json=order) as answer:
        assert answer.status == 200


async def stats(session: aiohttp.ClientSession, server: str) -> dict[str, Any]:
    async with session.get(f"http://{server}/sim/stats") as answer:
        found: dict[str, Any] = await answer.json()
        return found


def values_with_lists() -> dict[str, Any]:
    """The governance picker's own values, with a picker that names two."""
    path = OVERLAYS / "two-pools/pools/governance-values.yaml"
    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    texts = values["router"]["epp"]["pluginsCustomConfig"]
    document = yaml.safe_load(texts["governance.yaml"])
    picker = {"type": "max-score-picker", "parameters": {"maxNumOfEndpoints": 2}}
    document["plugins"].append(picker)
    document["schedulingProfiles"][0]["plugins"].append({"pluginRef": picker["type"]})
    texts["governance.yaml"] = json.dumps(document)
    return values


@pytest.mark.parametrize("secure", [True, False], ids=["TLS", "plain text"])
async def test_the_picker_is_asked_as_its_destination_rule_says(
    pools: TwoPools, api: Api, session: aiohttp.ClientSession, secure: bool
) -> None:
    value = f"router.epp.flags.secure-serving={str(secure).lower()}"

    async def programmed() -> bool:
        cluster = (await pools.envoy_clusters())[pools.picker_cluster("governance")]
        return ("transport_socket" in cluster) == secure

    async with changed(pools, api, "governance", value):
        await eventually("the cluster is programmed", programmed, 30.0)
        await decides(pools, api, session, "governance")


@pytest.mark.parametrize("mode", ["FailOpen", "FailClose"])
async def test_without_its_picker_a_pool_does_what_its_failure_mode_says(
    pools: TwoPools, api: Api, session: aiohttp.ClientSession, mode: str
) -> None:

    def as_it_says(answer: Answer) -> bool:
        return answer.status == 200 if mode == "FailOpen" else answer.status >= 500

    async with changed(pools, api, "governance", f"router.inferencePool.failureMode={mode}"):
        await pools.delete_picker(api, "governance")

        async def holds() -> bool:
            return as_it_says(await ask(session, pools.url, "Hello", model="governance"))

        await eventually(f"{mode} holds", holds, 30.0)
        mark = uuid.uuid4().hex
        answers = [
            await ask(session, pools.url, f"{n}", model="governance", headers={MARK: mark})
            for n in range(ASKED)
        ]
        assert all(as_it_says(answer) for answer in answers), answers
        servers = await pools.servers(api, "governance")
        shares = [len(await marked(session, server, mark)) for server in servers]
        if mode == "FailOpen":
            assert sum(shares) == ASKED
            assert min(shares) > 0
        else:
            assert sum(shares) == 0
        await decides(pools, api, session, "reasoning")
    await decides(pools, api, session, "governance")


async def test_an_upgrade_of_the_picker_fails_no_request(pools: TwoPools, api: Api) -> None:
    """All that is answered passes it, streams too."""
    async with running_load(pools.url, model="governance", tokens=50, stream=True) as load:
        await load.goes_on()
        async with changed(pools, api, "governance", "router.epp.podLabels.turn=second"):
            await load.goes_on()
    assert load.failures == []
