from __future__ import annotations

import asyncio

from epp.app.cluster import PoolReadiness, routing_settings
from epp.datalayer.discovery.kubernetes.objects import Rule as ClusterRule
from epp.datalayer.discovery.kubernetes.objects import Target as ClusterTarget
from epp.datalayer.discovery.kubernetes.view import ClusterRouting
from epp.extproc.health import Health
from epp.routing.settings import (
    ModelPriority,
    ModelRewrite,
    Objective,
    RoutingSettings,
    Rule,
    Target,
)


def test_what_the_cluster_says_of_routing() -> None:
    rules = (ClusterRule(("a",), (ClusterTarget("b", 90), ClusterTarget("c", None))),)
    cluster = ClusterRouting((("gold", 5),), (("m", -1),), (("canary", rules),))
    assert routing_settings(cluster) == RoutingSettings(
        (Objective("gold", 5),),
        (ModelRewrite("canary", (Rule((Target("b", 90), Target("c")), ("a",)),)),),
        (ModelPriority("m", -1),),
    )


async def test_ready_once_the_endpoints_have_been_looked_at_and_not_ready_at_once() -> None:
    looked, looking = asyncio.Event(), asyncio.Event()

    async def look_around() -> None:
        looking.set()
        await looked.wait()

    health = Health()
    health.set_pool_known(False)
    health.set_ready(True)
    readiness = PoolReadiness(health, look_around)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(readiness.run())
        readiness.set_known(True)
        await looking.wait()
        assert not health.ready
        looked.set()
        await _turns()
        assert health.ready
        readiness.set_known(False)
        assert not health.ready
        readiness.set_known(True)
        await _turns()
        assert health.ready
        task.cancel()


async def test_a_pool_that_goes_while_it_is_looked_at_is_not_ready() -> None:
    looked = asyncio.Event()

    async def look_around() -> None:
        await looked.wait()

    health = Health()
    health.set_pool_known(False)
    health.set_ready(True)
    readiness = PoolReadiness(health, look_around)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(readiness.run())
        readiness.set_known(True)
        await _turns()
        readiness.set_known(False)
        looked.set()
        await _turns()
        assert not health.ready
        task.cancel()


async def test_the_first_look_is_over_when_the_endpoints_have_been_looked_at() -> None:
    looked = asyncio.Event()

    async def look_around() -> None:
        await looked.wait()

    readiness = PoolReadiness(Health(), look_around)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(readiness.run())
        first = group.create_task(readiness.first())
        await _turns()
        assert not first.done()
        readiness.set_known(True)
        await _turns()
        assert not first.done()
        looked.set()
        await first
        task.cancel()


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
