"""A release that is used while it, or its model servers, are replaced, and while it is killed."""

from __future__ import annotations

import asyncio

import aiohttp

from tests.cluster.api import Api
from tests.cluster.load import ask, running_load
from tests.cluster.node.cluster import Cluster
from tests.cluster.node.helm import Helm
from tests.cluster.node.objects import (
    ALONE,
    container,
    gateway_url,
    pods,
    replace_servers,
)
from tests.cluster.waiting import eventually

LONG_ANSWER_TOKENS = 1000  # some ten seconds
SECONDS = 90.0


async def test_an_upgrade_of_the_picker_fails_no_request(helm: Helm, api: Api, room: str) -> None:
    with helm.release("alone", room, *ALONE):
        url = await gateway_url(api, room, "alone-epp")
        async with running_load(url) as load:
            await load.goes_on()
            turned = "router.epp.podLabels.turn=second"
            await asyncio.to_thread(helm.install, "alone", room, *ALONE, turned)

            async def only_the_new_one() -> bool:
                found = await pods(api, room, "alone")
                return [pod["metadata"]["labels"].get("turn") for pod in found] == ["second"]

            await eventually("only the new Pod", only_the_new_one, SECONDS)
            await load.goes_on()
        assert load.failures == []


async def test_a_rolling_update_of_the_model_servers_fails_no_request(
    helm: Helm, api: Api, room: str
) -> None:
    with helm.release("alone", room, *ALONE):
        url = await gateway_url(api, room, "alone-epp")
        async with running_load(url) as load:
            await load.goes_on()
            await replace_servers(api, room)
            await load.goes_on()
        assert load.failures == []


async def test_a_picker_that_is_killed_breaks_no_answer_and_comes_back(
    cluster: Cluster, helm: Helm, api: Api, room: str
) -> None:
    with helm.release("alone", room, *ALONE):
        url = await gateway_url(api, room, "alone-epp")
        [pod] = await pods(api, room, "alone")
        killed = container(pod)["containerID"]
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            story = ask(session, url, "A long story", tokens=LONG_ANSWER_TOKENS, stream=True)
            running = group.create_task(story)
            async with running_load(url) as load:
                await load.goes_on()
                await asyncio.to_thread(cluster.kill_container, killed)
                assert not running.done()

                async def restarted() -> bool:
                    [pod] = await pods(api, room, "alone")
                    state = container(pod)
                    return bool(state["ready"]) and state["containerID"] != killed

                await eventually("a new container that is ready", restarted, SECONDS)
                await load.goes_on()
        assert running.result().status == 200
        [pod] = await pods(api, room, "alone")
        assert container(pod)["restartCount"] == 1
        # It is refused what nobody can place, and nothing hangs or breaks in the middle.
        assert {answer.status for answer in load.failures} <= {503}
