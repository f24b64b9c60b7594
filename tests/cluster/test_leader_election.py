"""Pickers that elect a leader with a Lease on a real API server."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest

from tests.cluster.accounts import PICKER_RULES, Account
from tests.cluster.api import LEASE, Api
from tests.cluster.control_plane import ControlPlane
from tests.cluster.model_servers import ModelServers
from tests.cluster.namespace import Namespace
from tests.cluster.picker import KubernetesPicker, StartPicker
from tests.cluster.relay import Relay
from tests.cluster.waiting import eventually, holds
from tests.helpers.gateway import (
    BODY,
    a_gateway,
    destination,
    health,
    request_body,
    request_headers,
)

EXT_PROC = "envoy.service.ext_proc.v3.ExternalProcessor"
ELECTS = "--ha-enable-leader-election"
LEASES = {
    "apiGroups": ["coordination.k8s.io"],
    "resources": ["leases"],
    "verbs": ["get", "create", "update"],
}
LEASE_SECONDS = 15.0
# A lease, then the longest pause of a candidate, and some for a busy machine.
TAKE_OVER_SECONDS = LEASE_SECONDS + 4.4 + 10.0
MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")

Start = Callable[..., Awaitable[KubernetesPicker]]


@pytest.fixture
async def electorate(namespace: Namespace) -> Account:
    """The account of all pickers of a test: the lease is theirs to read and write."""
    await namespace.create_pool()
    return await namespace.account([*PICKER_RULES, LEASES])


@pytest.fixture
async def start(
    namespace: Namespace, electorate: Account, start_picker: StartPicker
) -> AsyncIterator[Start]:
    """Starts one more candidate."""
    async with AsyncExitStack() as running:

        async def started(*flags: str, server: str = "") -> KubernetesPicker:
            picker = start_picker(
                namespace, account=electorate, server=server, flags=[ELECTS, *flags]
            )
            return await running.enter_async_context(picker)

        yield started


def lease_of(namespace: Namespace) -> str:
    return f"epp-{namespace.name}-pool.llm-d.ai"


async def spec_of(api: Api, namespace: Namespace) -> dict[str, Any]:
    lease = await api.get(LEASE, lease_of(namespace), namespace.name)
    found: dict[str, Any] = lease["spec"]
    return found


async def ready(picker: KubernetesPicker) -> bool:
    return await health(picker.health_port, "readiness") == "SERVING"


async def leads(picker: KubernetesPicker, seconds: float = TAKE_OVER_SECONDS) -> None:
    try:
        await eventually("it leads", lambda: ready(picker), seconds)
    except AssertionError as error:
        error.add_note(f"its log:\n{picker.log()[-4000:]}")
        raise


@contextmanager
def measured(what: str) -> Iterator[None]:
    """Printed, for those who run with -s; nothing depends on it."""
    start = time.monotonic()
    yield
    print(f"\n{what}: {time.monotonic() - start:.1f} s")


async def test_one_is_ready_and_another_takes_over_when_it_drains(
    api: Api, namespace: Namespace, start: Start
) -> None:
    first = await start("--drain-timeout=60s")
    await leads(first)
    second = await start()

    spec = await spec_of(api, namespace)
    assert spec["leaseDurationSeconds"] == LEASE_SECONDS
    assert spec["leaseTransitions"] == 0
    assert MICRO_TIME.fullmatch(spec["acquireTime"])
    assert MICRO_TIME.fullmatch(spec["renewTime"])
    holder = spec["holderIdentity"]
    assert holder

    await eventually("the second knows who leads", lambda: second.lines(holder))
    for service in ("", "readiness", EXT_PROC):
        assert await health(first.health_port, service) == "SERVING"
        assert await health(second.health_port, service) == "NOT_SERVING"
    for picker in (first, second):
        assert await health(picker.health_port, "liveness") == "SERVING"
        assert await health(picker.health_port, "anything-else") == "SERVICE_UNKNOWN"

    first.signal(signal.SIGTERM)
    with measured("take-over from one that drains"):
        await leads(second)
    spec = await spec_of(api, namespace)
    assert spec["leaseTransitions"] == 1
    assert spec["holderIdentity"] not in ("", holder)
    # The lease was given back, not waited for, and who gave it back serves on.
    await eventually("the second saw it free", lambda: second.lines("the holder is nobody"))
    assert await health(first.health_port, "readiness") == "NOT_SERVING"
    assert await health(first.health_port, "liveness") == "SERVING"
    first.signal(signal.SIGTERM)  # a second one ends the drain
    assert await asyncio.to_thread(first.wait) == 0


async def test_a_leader_that_dies_is_replaced_when_its_lease_has_run_out(
    api: Api, namespace: Namespace, start: Start
) -> None:
    first = await start()
    await leads(first)
    second, third = await start(), await start()
    first.kill()
    with measured("take-over from one that died"):
        await eventually("another leads", lambda: either(second, third), TAKE_OVER_SECONDS)
    await holds("one leader", lambda: not_both(second, third), 3.0)
    spec = await spec_of(api, namespace)
    assert spec["leaseTransitions"] == 1


async def either(*pickers: KubernetesPicker) -> bool:
    return True in [await ready(picker) for picker in pickers]


async def not_both(*pickers: KubernetesPicker) -> bool:
    return [await ready(picker) for picker in pickers].count(True) <= 1


async def test_a_leader_that_is_cut_off_is_not_ready_but_serves_on(
    control_plane: ControlPlane, namespace: Namespace, start: Start
) -> None:
    async with ModelServers() as servers, Relay(control_plane.api_port) as relay:
        [server] = await servers.start(1)
        await namespace.run_pod("pod-0", server.address)
        await namespace.patch_pool({"targetPorts": [{"number": servers.ports[0]}]})
        first = await start(server=relay.url)
        await leads(first)
        await first.knows(server.authorities)
        second = await start()
        async with a_gateway(first.grpc_port) as gateway:
            before = gateway.open()
            await before.send(request_headers())
            await relay.cut()
            with measured("take-over from one that is cut off"):
                await leads(second)
            assert not await ready(first)
            assert await health(first.health_port, "liveness") == "SERVING"
            assert destination(await before.ask(request_body(BODY))) in server.authorities
            late = gateway.open()  # a gateway that has not noticed yet
            reply = await late.ask(request_headers(), request_body(BODY))
            assert destination(reply) in server.authorities
        await relay.mend()
        await eventually(
            "it is a candidate again", lambda: first.lines("the lease can be had again")
        )
        await holds("the second leads", lambda: ready(second), 3.0)
        assert not await ready(first)


async def test_the_api_server_away_for_longer_than_a_lease(
    control_plane: ControlPlane, start: Start
) -> None:
    only = await start()
    await leads(only)

    async def steps_down() -> bool:
        return not await ready(only)

    async with control_plane.without_api_server():
        await eventually("it knows that it may lead no more", steps_down, LEASE_SECONDS)
        assert await health(only.health_port, "liveness") == "SERVING"
    await leads(only)


async def test_without_the_right_to_the_lease_it_says_so_and_leads_once_it_has_it(
    namespace: Namespace, electorate: Account, start: Start
) -> None:
    await electorate.allow(*PICKER_RULES)
    picker = await start()
    words = ("the lease cannot be had", f"get leases in namespace {namespace.name}: 403 Forbidden")
    await eventually("the log names verb and resource", lambda: picker.lines(*words))
    assert not await ready(picker)
    await electorate.allow(*PICKER_RULES, LEASES)
    await leads(picker)
    assert len(picker.lines("the lease cannot be had")) == 1
