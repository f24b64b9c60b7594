"""The API server dies, comes back, and has forgotten: picking goes on, and catches up."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import replace

import pytest

from tests.cluster.api import POD, Api
from tests.cluster.control_plane import ControlPlane
from tests.cluster.installation import Install, Installation, Plan
from tests.cluster.load import running_load
from tests.cluster.model_servers import ModelServers
from tests.cluster.namespace import Namespace
from tests.cluster.picker import KubernetesPicker, StartPicker
from tests.cluster.relay import Relay
from tests.cluster.waiting import eventually, holds
from tests.helpers.gateway import a_gateway, destination, health, request_headers

OUTAGE_SECONDS = float(os.environ.get("EPP_OUTAGE_SECONDS", "10"))
CATCH_UP_SECONDS = 60.0  # the longest pause between two attempts is 30 s
FROZEN_SECONDS = 3.0
SLOW_SECONDS = 0.5  # less than a start waits for
LOST, FOUND = "the API server fails", "the API server serves again"


async def never_empty(site: Installation, stop: asyncio.Event) -> None:
    while not stop.is_set():
        assert await asyncio.to_thread(site.picker.endpoints)
        await asyncio.sleep(0.02)


@pytest.mark.timeout(120 + 2 * OUTAGE_SECONDS)
async def test_picking_goes_on_while_the_api_server_is_away(
    control_plane: ControlPlane, install_plan: Install
) -> None:
    async with install_plan(Plan(servers=3, pods=2)) as site:
        async with running_load(site.url) as load:
            await load.is_served_by(*site.authorities(0, 1))
            async with control_plane.without_api_server():
                await asyncio.sleep(OUTAGE_SECONDS)
                await load.is_served_by(*site.authorities(0, 1))
                assert await health(site.picker.health_port) == "SERVING"
            back_at = time.monotonic()
            await site.run_pod(2)
            await site.terminate_pod(0)
            await site.picker.knows(site.authorities(1, 2), CATCH_UP_SECONDS)
            print(f"caught up {time.monotonic() - back_at:.1f} s after the API server was back")
            await load.is_served_by(*site.authorities(1, 2))
        assert load.failures == []
        await eventually("a line of the end", lambda: site.picker.lines(FOUND), CATCH_UP_SECONDS)
        assert (len(site.picker.lines(LOST)), len(site.picker.lines(FOUND))) == (1, 1)


async def test_a_picker_that_starts_while_the_api_server_is_away(
    control_plane: ControlPlane, namespace: Namespace, start_picker: StartPicker
) -> None:
    """It is alive and not ready, so it is neither restarted nor asked."""
    account = await namespace.account()
    async with ModelServers() as servers, Relay(control_plane.api_port) as relay:
        [server] = await servers.start(1)
        await namespace.create_pool(ports=servers.ports)
        await namespace.run_pod("one", server.address)
        await relay.cut()
        async with start_picker(namespace, account=account, server=relay.url) as picker:
            await eventually("the log says so", lambda: picker.lines(LOST))

            async def waits() -> bool:
                return await health(picker.health_port) == "NOT_SERVING"

            await holds("alive and not ready", waits, 2.0)
            await relay.mend()
            await picker.ready(CATCH_UP_SECONDS)
            await picker.knows(server.authorities)
            await eventually("a line of the end", lambda: picker.lines(FOUND), CATCH_UP_SECONDS)
            assert (len(picker.lines(LOST)), len(picker.lines(FOUND))) == (1, 1)


async def test_the_ext_proc_port_opens_when_there_is_something_to_pick(
    control_plane: ControlPlane, namespace: Namespace
) -> None:
    """An Envoy in the same Pod asks as soon as it can, ready or not; nobody is refused for that."""
    async with Relay(control_plane.api_port) as relay, ModelServers() as servers:
        [server] = await servers.start(1)
        await namespace.create_pool(ports=servers.ports)
        await namespace.run_pod("pod-0", server.address)
        account = await namespace.account()
        kubeconfig = control_plane.kubeconfig(
            f"{namespace.name}.kubeconfig", token=await account.token(), server=relay.url
        )
        picker = KubernetesPicker(namespace.name, kubeconfig)
        relay.freeze()
        try:
            async with asyncio.TaskGroup() as group:
                starting = group.create_task(asyncio.to_thread(picker.start))
                await eventually("the API server is asked", lambda: relay.accepted)
                await asyncio.sleep(SLOW_SECONDS)
                assert not starting.done()
                relay.thaw()
            async with a_gateway(picker.grpc_port) as gateway:
                asked = request_headers(path="/health", method="GET", end_of_stream=True)
                assert destination(await gateway.open().ask(asked)) in server.authorities
        finally:
            picker.stop()


async def test_what_changed_meanwhile_is_seen_although_history_is_gone(
    control_plane: ControlPlane, api: Api, install_plan: Install
) -> None:
    """No watch can be taken up again where it was cut: the server answers 410."""
    plan = Plan(servers=4, pods=2)
    async with (
        Relay(control_plane.api_port) as relay,
        install_plan(replace(plan, api_server=relay.url)) as site,
    ):
        stop = asyncio.Event()
        namespace = site.namespace
        async with running_load(site.url) as load, asyncio.TaskGroup() as group:
            group.create_task(never_empty(site, stop))
            await load.is_served_by(*site.authorities(0, 1))
            await relay.cut()
            seen = await api.list(POD, namespace.name)
            for number in (0, 1):
                await site.terminate_pod(number)
                await site.remove_pod(number)
            for number in (2, 3):
                await site.run_pod(number)
            control_plane.compact()
            await control_plane.restart_api_server()
            event = await api.watch_from(POD, seen["metadata"]["resourceVersion"], namespace.name)
            assert event["object"]["code"] == 410
            await load.is_served_by(*site.authorities(0, 1))
            await relay.mend()
            await site.picker.knows(site.authorities(2, 3), CATCH_UP_SECONDS)
            await load.is_served_by(*site.authorities(2, 3))
            stop.set()
        assert load.failures == []


async def test_connections_that_break_again_and_again(
    control_plane: ControlPlane, install_plan: Install
) -> None:
    """Each time a Pod has changed between the break and the next attempt."""
    plan = Plan(servers=2)
    async with (
        Relay(control_plane.api_port) as relay,
        install_plan(replace(plan, api_server=relay.url)) as site,
    ):
        stop = asyncio.Event()
        async with running_load(site.url) as load, asyncio.TaskGroup() as group:
            group.create_task(never_empty(site, stop))
            for round_number in range(4):
                await relay.cut()
                await site.set_ready(0, round_number % 2 == 1)
                await relay.mend()
                expected = (0, 1) if round_number % 2 == 1 else (1,)
                await site.picker.knows(site.authorities(*expected), CATCH_UP_SECONDS)
            stop.set()
        assert load.failures == []
        print(f"connections to the API server: {relay.accepted}")


async def test_a_network_that_loses_everything_for_a_while(
    control_plane: ControlPlane, install_plan: Install
) -> None:
    """Nothing breaks, so nothing is noticed; what happened comes when it can."""
    plan = Plan(servers=3, pods=2)
    async with (
        Relay(control_plane.api_port) as relay,
        install_plan(replace(plan, api_server=relay.url)) as site,
    ):
        async with running_load(site.url) as load:
            relay.freeze()
            await site.run_pod(2)
            await site.set_ready(0, False)
            await asyncio.sleep(FROZEN_SECONDS)
            await load.is_served_by(*site.authorities(0, 1))
            relay.thaw()
            await site.knows(1, 2)
            await load.is_served_by(*site.authorities(1, 2))
        assert load.failures == []
        assert site.picker.lines(LOST) == []


@pytest.mark.parametrize("reachable", [True, False], ids=["there", "away"])
async def test_a_picker_ends_in_order(
    control_plane: ControlPlane, namespace: Namespace, start_picker: StartPicker, reachable: bool
) -> None:
    """Whether the API server is there or not: not ready at once, then gone, and nothing left."""
    flags = ["--drain-timeout=1s"]
    async with (
        Relay(control_plane.api_port) as relay,
        start_picker(namespace, server=relay.url, flags=flags) as picker,
    ):
        await namespace.create_pool()
        await picker.ready()
        if not reachable:
            await relay.cut()
            await eventually("the log says so", lambda: picker.lines(LOST))
        picker.signal(signal.SIGTERM)

        async def not_serving() -> bool:
            return await health(picker.health_port) == "NOT_SERVING"

        await eventually("not serving", not_serving)
        assert await asyncio.to_thread(picker.wait) == 0
        assert "Unclosed" not in picker.log()
        assert picker.lines('"level":"error"') == []
