"""Pods come, are not ready, drain and go while requests run: the picker follows, nobody notices."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from epp.envoyconfig.settings import Mode
from tests.cluster.installation import Install, Plan
from tests.cluster.load import ask, running_load
from tests.cluster.waiting import eventually

LONG_ANSWER_TOKENS = 300


@pytest.mark.parametrize("mode", list(Mode))
async def test_pods_come_and_go_under_load(install_plan: Install, mode: Mode) -> None:
    async with install_plan(Plan(servers=5, pods=3, mode=mode)) as site:
        async with running_load(site.url, users=8, stream=True) as load:
            await load.is_served_by(*site.authorities(0, 1, 2))
            await site.run_pod(3)
            await site.run_pod(4)
            await site.knows(0, 1, 2, 3, 4)
            await load.is_served_by(*site.authorities(0, 1, 2, 3, 4))
            await site.set_ready(0, False)
            await site.knows(1, 2, 3, 4)
            await load.is_served_by(*site.authorities(1, 2, 3, 4))
            await site.set_ready(0, True)
            await site.terminate_pod(1)
            await site.knows(0, 2, 3, 4)
            await eventually("the terminating pod is idle", site.servers[1].idle)
            await site.servers[1].stop()
            await site.remove_pod(1)
            await load.is_served_by(*site.authorities(0, 2, 3, 4))
        assert load.failures == []
        await eventually("nothing is held", site.nothing_held)
        assert site.picker.metric("llm_d_epp_requests_without_pick_total") == 0


async def test_every_pod_is_replaced_under_load(install_plan: Install) -> None:
    """A rolling update with one pod more than wanted."""
    async with install_plan(Plan(servers=6, pods=3)) as site:
        async with running_load(site.url, users=6) as load:
            for old in range(3):
                await site.run_pod(old + 3)
                await load.goes_on(5)
                await site.terminate_pod(old)
                await site.knows(*range(old + 1, old + 4))
                await eventually(f"pod {old} is idle", site.servers[old].idle)
                await site.servers[old].stop()
                await site.remove_pod(old)
            await load.is_served_by(*site.authorities(3, 4, 5))
        assert load.failures == []


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_running_answer_outlives_the_endpoint(install_plan: Install, mode: Mode) -> None:
    plan = Plan(servers=1, mode=mode)
    async with install_plan(plan) as site, aiohttp.ClientSession() as session:
        request = ask(session, site.url, "At length.", tokens=LONG_ANSWER_TOKENS, stream=True)
        running = asyncio.ensure_future(request)
        await eventually("it runs", lambda: not site.nothing_held())
        await site.terminate_pod(0)
        await site.knows()
        refused = await ask(session, site.url, "Is anybody there?")
        assert refused.status == 503
        assert not running.done()
        assert (await running).status == 200
        await eventually("nothing is held", site.nothing_held)


async def test_a_pod_of_the_same_name_at_another_address(install_plan: Install) -> None:
    """As a StatefulSet restarts one."""
    async with install_plan(Plan(servers=3, pods=2)) as site:
        async with running_load(site.url) as load:
            await site.terminate_pod(0)
            await site.knows(1)
            await site.remove_pod(0)
            await site.namespace.run_pod("pod-0", site.servers[2].address)
            await site.knows(1, 2)
            await load.is_served_by(*site.authorities(1, 2))
        assert load.failures == []
        names = {f"{site.namespace.name}/pod-0-rank-0", f"{site.namespace.name}/pod-1-rank-0"}
        assert set(site.picker.endpoints().values()) == names


async def test_pods_that_are_no_endpoints(install_plan: Install) -> None:
    async with install_plan(Plan(servers=4, pods=1)) as site:
        address = [server.address for server in site.servers]
        await site.namespace.run_pod("of-others", address[1], labels={"app": "other"})
        await site.namespace.run_pod("without-address", "")
        await site.namespace.run_pod("failed", address[2])
        await site.knows(0, 2)
        await site.namespace.set_status("failed", address[2], ready=False, phase="Failed")
        await site.knows(0)
        await site.run_pod(3)
        await site.knows(0, 3)
