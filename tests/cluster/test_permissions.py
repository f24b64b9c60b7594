"""A rule that is missing is named in the log, and is enough as soon as it is there."""

from __future__ import annotations

import pytest

from tests.cluster.accounts import OBJECTIVES_AND_REWRITES, PICKER_RULES, PODS, POOLS
from tests.cluster.model_servers import ModelServers
from tests.cluster.namespace import Namespace
from tests.cluster.objects import an_objective
from tests.cluster.picker import KubernetesPicker, StartPicker
from tests.cluster.waiting import eventually, holds
from tests.helpers.gateway import health

TRIED_AGAIN_SECONDS = 60.0


def refusals(picker: KubernetesPicker, resource: str) -> list[dict[str, object]]:
    return picker.lines("not permitted", f"list {resource} ")


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        ([POOLS, OBJECTIVES_AND_REWRITES], "pods"),
        ([PODS, OBJECTIVES_AND_REWRITES], "inferencepools.inference.networking.k8s.io"),
    ],
    ids=["pods", "pools"],
)
async def test_without_what_it_needs_a_picker_is_not_ready(
    namespace: Namespace, start_picker: StartPicker, rules: list[dict], missing: str
) -> None:
    account = await namespace.account(rules)
    async with ModelServers() as servers:
        [server] = await servers.start(1)
        await namespace.create_pool(ports=servers.ports)
        await namespace.run_pod("one", server.address)
        async with start_picker(namespace, account=account) as picker:
            await eventually(f"{missing} named in the log", lambda: refusals(picker, missing))
            [line] = refusals(picker, missing)
            assert namespace.name in line["msg"]
            assert line["level"] == "warning"

            async def waits() -> bool:
                return await health(picker.health_port) == "NOT_SERVING"

            await holds("not ready", waits, 2.0)
            await account.allow(*PICKER_RULES)
            await picker.ready(TRIED_AGAIN_SECONDS)
            await picker.knows(server.authorities)
            assert len(refusals(picker, missing)) == 1


async def test_without_objectives_it_serves_and_takes_them_when_it_may(
    namespace: Namespace, start_picker: StartPicker
) -> None:
    account = await namespace.account([PODS, POOLS])
    missing = "inferenceobjectives.llm-d.ai"
    async with ModelServers() as servers:
        [server] = await servers.start(1)
        await namespace.create_pool(ports=servers.ports)
        await namespace.run_pod("one", server.address)
        await namespace.apply(an_objective("gold", 10))
        async with start_picker(namespace, account=account) as picker:
            await picker.ready()
            await picker.knows(server.authorities)
            await eventually(f"{missing} named in the log", lambda: refusals(picker, missing))
            await account.allow(*PICKER_RULES)
            await eventually(
                "the log says that it works",
                lambda: picker.lines(missing, "works again"),
                TRIED_AGAIN_SECONDS,
            )
            await eventually("one objective", lambda: picker.lines('"objectives":1'))


async def test_an_unknown_token_is_named_in_the_log(
    namespace: Namespace, start_picker: StartPicker
) -> None:
    account = await namespace.account()
    async with start_picker(namespace, account=account, token="not-a-token") as picker:
        await eventually("the log says so", lambda: picker.lines("failed", "pods"))
