"""Pods with several ports, some of them active, and Pods with IPv6 addresses."""

from __future__ import annotations

import socket

import pytest

from tests.cluster.api import POD
from tests.cluster.installation import Install, Plan
from tests.cluster.load import running_load
from tests.cluster.model_servers import ModelServers
from tests.cluster.namespace import Namespace
from tests.cluster.picker import StartPicker

ACTIVE = "llm-d.ai/active-ports"


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_each_port_of_a_pod_is_an_endpoint(install_plan: Install) -> None:
    async with install_plan(Plan(servers=2, ports=3)) as site:
        async with running_load(site.url, users=12) as load:
            await load.is_served_by(*site.authorities(0, 1))
        assert load.failures == []
        names = {
            f"{site.namespace.name}/pod-{pod}-rank-{rank}" for pod in range(2) for rank in range(3)
        }
        assert set(site.picker.endpoints().values()) == names


async def test_the_annotation_says_which_ports_are_active(install_plan: Install) -> None:
    async with install_plan(Plan(servers=1, ports=3)) as site:
        authorities = site.servers[0].authorities
        ports = [rank.port for rank in site.servers[0].ranks]

        async def annotate(text: str | None) -> None:
            await site.namespace.patch(POD, "pod-0", {"metadata": {"annotations": {ACTIVE: text}}})

        async with running_load(site.url) as load:
            await annotate(f"{ports[2]},{ports[0]},1")
            await site.picker.knows([authorities[0], authorities[2]])
            await load.is_served_by(authorities[0], authorities[2])
        assert load.failures == []
        assert site.picker.endpoints()[authorities[2]].endswith("/pod-0-rank-2")
        await annotate("")
        await site.picker.knows([])
        await annotate(None)
        await site.picker.knows(authorities)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback address")
async def test_pods_with_ipv6_addresses(install_plan: Install) -> None:
    """There is one IPv6 loopback address, so each Pod has one port of it."""
    async with install_plan(Plan(servers=1, pods=0, ports=2, ipv6=True)) as site:
        ports = [rank.port for rank in site.servers[0].ranks]
        for number, port in enumerate(ports):
            await site.namespace.run_pod(f"v6-{number}", "::1", annotations={ACTIVE: str(port)})
        authorities = [f"[::1]:{port}" for port in ports]
        await site.picker.knows(authorities)
        async with running_load(site.url) as load:
            await load.is_served_by(*authorities)
        assert load.failures == []


async def test_the_first_address_of_a_pod_with_two_counts(
    namespace: Namespace, start_picker: StartPicker
) -> None:
    async with ModelServers() as servers, start_picker(namespace) as picker:
        [server] = await servers.start(1)
        await namespace.create_pool(ports=servers.ports)
        await namespace.run_pod("dual", server.address)
        addresses = [{"ip": server.address}, {"ip": "fd00::7"}]
        await namespace.patch(POD, "dual", {"status": {"podIPs": addresses}}, "status")
        await picker.ready()
        await picker.knows(server.authorities)
