"""Standalone forms that need names of the cluster: servers by name, and proxies of their own."""

from __future__ import annotations

import asyncio

import pytest

from tests.cluster.api import Api
from tests.cluster.load import running_load
from tests.cluster.node.cluster import Cluster
from tests.cluster.node.helm import Helm
from tests.cluster.node.objects import (
    DEPLOYMENT,
    NAMED,
    container,
    gateway_url,
    pods,
    replace_servers,
    rolled_out,
)
from tests.cluster.waiting import eventually

APART = (*NAMED, "router.proxy.mode=service")
PICKER, PROXY = "alone-epp", "alone-epp-proxy"
SECONDS = 150.0

pytestmark = pytest.mark.usefixtures("names")


async def test_a_rolling_update_of_servers_that_envoy_follows_by_name_fails_no_request(
    helm: Helm, api: Api, room: str
) -> None:
    with helm.release("alone", room, *NAMED):
        url = await gateway_url(api, room, PICKER)
        async with running_load(url) as load:
            await load.goes_on()
            await replace_servers(api, room)
            await load.goes_on()
        assert load.failures == []


async def test_requests_go_on_while_the_picker_is_away(helm: Helm, api: Api, room: str) -> None:
    """Proxies that know the servers by name balance by themselves, until it is back."""
    with helm.release("alone", room, *APART):
        url = await gateway_url(api, room, PROXY)
        async with running_load(url) as load:
            await load.goes_on()
            await api.patch(DEPLOYMENT, PICKER, {"spec": {"replicas": 0}}, room)

            async def none() -> bool:
                found = await pods(api, room, "alone")
                return not [pod for pod in found if "epp" in pod["spec"]["containers"][0]["name"]]

            await eventually("no picker", none, SECONDS)
            await load.goes_on(50)
            await api.patch(DEPLOYMENT, PICKER, {"spec": {"replicas": 1}}, room)
            await eventually("a picker", lambda: rolled_out(api, room, PICKER), SECONDS)
            await load.goes_on()
        assert load.failures == []


async def test_a_picker_beside_envoy_that_is_killed_fails_no_request(
    cluster: Cluster, helm: Helm, api: Api, room: str
) -> None:
    with helm.release("alone", room, *NAMED):
        url = await gateway_url(api, room, PICKER)
        [pod] = await pods(api, room, "alone")
        killed = container(pod)["containerID"]
        async with running_load(url) as load:
            await load.goes_on()
            await asyncio.to_thread(cluster.kill_container, killed)

            async def restarted() -> bool:
                [pod] = await pods(api, room, "alone")
                state = container(pod)
                return bool(state["ready"]) and state["containerID"] != killed

            await eventually("a new container that is ready", restarted, SECONDS)
            await load.goes_on()
        assert load.failures == []


async def test_proxies_of_their_own_are_replaced_and_fail_no_request(
    helm: Helm, api: Api, room: str
) -> None:
    with helm.release("alone", room, *APART):
        url = await gateway_url(api, room, PROXY)
        async with running_load(url) as load:
            await load.goes_on()
            sleep = "router.proxy.preStopSleepSeconds=6"  # another template
            await asyncio.to_thread(helm.install, "alone", room, *APART, sleep)
            await eventually("new proxies alone", lambda: rolled_out(api, room, PROXY), SECONDS)
            await load.goes_on()
        assert load.failures == []


async def test_a_picker_with_proxies_of_their_own_is_replaced_and_fails_no_request(
    helm: Helm, api: Api, room: str
) -> None:
    with helm.release("alone", room, *APART):
        url = await gateway_url(api, room, PROXY)
        async with running_load(url) as load:
            await load.goes_on()
            turned = "router.epp.podLabels.turn=second"
            await asyncio.to_thread(helm.install, "alone", room, *APART, turned)
            await eventually("the new picker alone", lambda: rolled_out(api, room, PICKER), SECONDS)
            await load.goes_on()
        assert load.failures == []
