"""The InferencePool: there or not, changed while it is used, and one picker for each."""

from __future__ import annotations

from tests.cluster.accounts import PODS
from tests.cluster.api import POD, POOL
from tests.cluster.installation import Install, Plan
from tests.cluster.load import running_load
from tests.cluster.model_servers import ModelServers
from tests.cluster.namespace import Namespace, NewNamespace
from tests.cluster.objects import an_objective
from tests.cluster.picker import StartPicker
from tests.cluster.waiting import eventually, holds
from tests.helpers.gateway import health


async def test_a_picker_waits_for_its_pool(namespace: Namespace, start_picker: StartPicker) -> None:
    async with ModelServers() as servers, start_picker(namespace) as picker:
        [server] = await servers.start(1)

        async def not_serving() -> bool:
            return await health(picker.health_port) == "NOT_SERVING"

        await eventually("health answers", not_serving)
        await holds("not serving without a pool", not_serving, 1.0)
        await namespace.run_pod("one", server.address)
        await namespace.create_pool(ports=servers.ports)
        await picker.ready()
        await picker.knows(server.authorities)
        await namespace.delete_object(POOL, "pool")
        await picker.knows([])
        await eventually("not serving again", not_serving)
        await namespace.create_pool(ports=servers.ports)
        await picker.ready()
        await picker.knows(server.authorities)


async def test_another_selector_takes_over_without_a_gap(install_plan: Install) -> None:
    async with install_plan(Plan(servers=4, pods=2)) as site:
        for number in (2, 3):
            await site.run_pod(number, labels={"app": "next"})
        async with running_load(site.url) as load:
            await load.is_served_by(*site.authorities(0, 1))
            await site.namespace.patch_pool({"selector": {"matchLabels": {"app": "next"}}})
            await site.knows(2, 3)
            await load.is_served_by(*site.authorities(2, 3))
            await site.namespace.patch(POD, "pod-0", {"metadata": {"labels": {"app": "next"}}})
            await site.knows(0, 2, 3)
            await load.is_served_by(*site.authorities(0, 2, 3))
        assert load.failures == []


async def test_other_target_ports_take_over_without_a_gap(install_plan: Install) -> None:
    async with install_plan(Plan(servers=2, ports=2)) as site:
        first, second = ([server.authorities[n] for server in site.servers] for n in (0, 1))
        ports = [rank.port for rank in site.servers[0].ranks]
        async with running_load(site.url) as load:
            await load.is_served_by(*first, *second)
            await site.namespace.patch_pool({"targetPorts": [{"number": ports[1]}]})
            await site.picker.knows(second)
            await load.is_served_by(*second)
        assert load.failures == []


async def test_two_pools_and_two_pickers(
    namespace: Namespace, new_namespace: NewNamespace, start_picker: StartPicker
) -> None:
    """In one namespace, and a pool of the same name in another."""
    elsewhere = await new_namespace()
    account = await namespace.account()
    async with (
        ModelServers() as servers,
        start_picker(namespace, account=account, pool="small") as small,
        start_picker(namespace, account=account, pool="large") as large,
        start_picker(elsewhere, pool="small") as other,
    ):
        a, b, c = await servers.start(3)
        for where, name, server in (
            (namespace, "small", a),
            (namespace, "large", b),
            (elsewhere, "small", c),
        ):
            await where.create_pool(name, ports=servers.ports, labels={"pool": name})
            await where.run_pod(f"{name}-0", server.address, labels={"pool": name})
        await namespace.apply(an_objective("gold", 10, pool="small"))
        for picker, server in ((small, a), (large, b), (other, c)):
            await picker.ready()
            await picker.knows(server.authorities)
        assert [one.status()["pool"] for one in (small, large)] == ["small", "large"]


async def test_pods_by_selector_without_a_pool(
    namespace: Namespace, start_picker: StartPicker
) -> None:
    """As the standalone chart installs it: no InferencePool, and permission for Pods only."""
    account = await namespace.account([PODS])
    async with ModelServers(ports=2) as servers:
        a, b, c = await servers.start(3)
        flags = [
            *("--endpoint-selector", "app in (llama, qwen), stage!=test"),
            *("--endpoint-target-ports", ",".join(str(port) for port in servers.ports)),
        ]
        environment = {"POD_NAME": "my-epp-5d4f8c7b9-x2x4z"}
        async with start_picker(
            namespace, account=account, pool="", flags=flags, environment=environment
        ) as picker:
            await picker.ready()
            await namespace.run_pod("llama", a.address, labels={"app": "llama"})
            await namespace.run_pod("qwen", b.address, labels={"app": "qwen", "stage": "live"})
            tested = {"app": "qwen", "stage": "test"}
            await namespace.run_pod("tested", c.address, labels=tested)
            await picker.knows([*a.authorities, *b.authorities])
            await namespace.patch(POD, "tested", {"metadata": {"labels": {"stage": "live"}}})
            await picker.knows(servers.authorities)
            assert picker.status()["pool"] == "my-epp"
