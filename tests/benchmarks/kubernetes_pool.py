"""What it costs to follow an InferencePool, by its size, and how soon a change of a Pod counts.

On a real kube-apiserver and etcd, which `make cluster` builds. Needs Go. Model servers are
simulated ones; Pods are objects whose status this script writes, as a kubelet would.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import epp
from epp.compiled import current_build
from tests.cluster.accounts import Account
from tests.cluster.api import POD, Api, each
from tests.cluster.build import the_build
from tests.cluster.control_plane import ControlPlane
from tests.cluster.definitions import running_control_plane
from tests.cluster.namespace import Namespace
from tests.cluster.objects import a_pod
from tests.cluster.picker import KubernetesPicker, running_picker
from tests.helpers.crowd import GOLANG, build_programs, cpu_seconds, running_servers
from tests.helpers.gateway import Gateway, a_gateway, destination, health, request_headers
from tests.helpers.picker import rss_kib

SIZES = (1, 100, 1000)
STARTS = 5
CHANGES = 25
IDLE_SECONDS = 10.0
SETTLE_SECONDS = 5.0  # before it counts as idle
LIMIT_SECONDS = 60.0  # for anything that is waited for
POLL_SECONDS = 0.02
# Before a change, so that it meets the picker at any point of what it does at intervals.
PAUSE_SECONDS = (0.1, 0.6)
VARIABLES = 90  # of a Pod's container: they make the object as large as that of a real server


@dataclass(slots=True)
class Figures:
    """Of one pool. Times in seconds."""

    pods: int
    pod_bytes: int = 0  # as the API server gives it
    ready: list[float] = field(default_factory=list)  # from the start of the process
    start_cpu: list[float] = field(default_factory=list)  # until it was ready
    idle_cores: float = 0.0
    idle_mib: float = 0.0
    changed_mib: float = 0.0  # after all changes
    writes: list[float] = field(default_factory=list)  # of the API calls that changed a Pod
    first_picks: list[float] = field(default_factory=list)  # from the call that made it ready
    last_picks: list[float] = field(default_factory=list)  # from the call that deleted it


@dataclass(frozen=True, slots=True)
class Pool:
    """A namespace with its Pods, and the address of one more that comes and goes."""

    namespace: Namespace
    account: Account
    address: str
    port: int

    async def add(self, name: str, address: str, *, ready: bool) -> None:
        body = a_pod(name)
        variables = [{"name": f"VARIABLE_{n}", "value": f"value-{n}"} for n in range(VARIABLES)]
        body["spec"]["containers"][0]["env"] = variables
        await self.namespace.apply(body)
        await self.namespace.set_status(name, address, ready=ready)


async def measured(control_plane: ControlPlane, pods: int, starts: int, changes: int) -> Figures:
    figures = Figures(pods)
    with running_servers(pods + 1) as servers:
        *addresses, spare = [server.rpartition(":")[0] for server in servers.addresses]
        port = int(servers.addresses[0].rpartition(":")[2])
        async with Api(control_plane.url, control_plane.admin_context()) as api:
            space = Namespace(api, f"pool-{pods}")
            await space.create()
            await space.create_pool(ports=[port])
            pool = Pool(space, await space.account(), spare, port)
            await each(range(pods), lambda n: pool.add(f"pod-{n}", addresses[n], ready=True))
            figures.pod_bytes = len(json.dumps(await api.get(POD, "pod-0", space.name)))
            for _ in range(starts - 1):
                async with started(control_plane, pool, figures):
                    pass
            async with started(control_plane, pool, figures) as picker:
                await measure_idle(picker, figures)
                async with a_gateway(picker.grpc_port) as gateway:
                    for number in range(changes):
                        await measure_change(gateway, pool, f"changing-{number}", figures)
                figures.changed_mib = rss_kib(picker.pid) / 1024
    return figures


@asynccontextmanager
async def started(
    control_plane: ControlPlane, pool: Pool, figures: Figures
) -> AsyncIterator[KubernetesPicker]:
    """A fresh picker, which is ready and knows all Pods."""
    begin = time.monotonic()
    async with running_picker(control_plane, pool.namespace, account=pool.account) as picker:
        async with asyncio.timeout(LIMIT_SECONDS):
            while await health(picker.health_port) != "SERVING":  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)
        known = picker.status()["endpoint_count"]
        if known != figures.pods:
            raise RuntimeError(f"ready with {known} of {figures.pods} Pods")
        figures.ready.append(time.monotonic() - begin)
        figures.start_cpu.append(cpu_seconds(picker.pid))
        yield picker


async def measure_idle(picker: KubernetesPicker, figures: Figures) -> None:
    await asyncio.sleep(SETTLE_SECONDS)
    before = cpu_seconds(picker.pid)
    await asyncio.sleep(IDLE_SECONDS)
    figures.idle_cores = (cpu_seconds(picker.pid) - before) / IDLE_SECONDS
    figures.idle_mib = rss_kib(picker.pid) / 1024


async def measure_change(gateway: Gateway, pool: Pool, name: str, figures: Figures) -> None:
    """A Pod that runs becomes ready and is picked; it is deleted and is picked no more.

    The ext-proc port is asked all the time, one request after the other, for a pick of this server
    alone: a subset of one.
    """
    authority = f"{pool.address}:{pool.port}"
    await pool.add(name, pool.address, ready=False)
    await asyncio.sleep(random.uniform(*PAUSE_SECONDS))
    begin = time.monotonic()
    async with asyncio.timeout(LIMIT_SECONDS), asyncio.TaskGroup() as group:
        becomes_ready = pool.namespace.set_status(name, pool.address, ready=True)
        group.create_task(timed(becomes_ready, figures.writes))
        while not await is_picked(gateway, authority):
            pass
        figures.first_picks.append(time.monotonic() - begin)
    await asyncio.sleep(random.uniform(*PAUSE_SECONDS))
    begin = last = time.monotonic()
    async with asyncio.timeout(LIMIT_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(timed(pool.namespace.terminate_pod(name), figures.writes))
        while await is_picked(gateway, authority):
            last = time.monotonic()
    figures.last_picks.append(last - begin)
    await pool.namespace.remove_pod(name)


async def is_picked(gateway: Gateway, authority: str) -> bool:
    """One request, from its headers to the end of its stream."""
    call = gateway.open()
    headers = request_headers(path="/health", method="GET", end_of_stream=True, subset=[authority])
    reply = await call.ask(headers)
    refused = reply.WhichOneof("response") == "immediate_response"
    if refused:
        assert reply.immediate_response.status.code == 503, reply
    else:
        assert destination(reply) == authority
    await call.half_close()
    while await call.receive() is not None:
        pass
    return not refused


async def timed(call: Awaitable[None], into: list[float]) -> None:
    begin = time.monotonic()
    await call
    into.append(time.monotonic() - begin)


# What is printed.


def middle_and_most(seconds: Sequence[float], unit: float, digits: int) -> str:
    return f"{statistics.median(seconds) / unit:.{digits}f} ({max(seconds) / unit:.{digits}f})"


ROWS: dict[str, Callable[[Figures], str]] = {
    "a Pod, KB": lambda of: f"{of.pod_bytes / 1000:.1f}",
    "start to ready, all Pods known, s": lambda of: middle_and_most(of.ready, 1.0, 2),
    "CPU until then, s": lambda of: middle_and_most(of.start_cpu, 1.0, 2),
    "idle, all of them scraped: cores": lambda of: f"{of.idle_cores:.3f}",
    "memory then, MiB": lambda of: f"{of.idle_mib:.0f}",
    "memory after the changes, MiB": lambda of: f"{of.changed_mib:.0f}",
    "a Pod ready, to its first pick, ms": lambda of: middle_and_most(of.first_picks, 1e-3, 0),
    "a Pod deleted, to its last pick, ms": lambda of: middle_and_most(of.last_picks, 1e-3, 0),
    "of that, the API server's answer, ms": lambda of: middle_and_most(of.writes, 1e-3, 0),
}


def show(pools: Sequence[Figures], starts: int, changes: int) -> None:
    build = "compiled" if current_build(Path(epp.__file__).parent) else "interpreted"
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{build} build, {os.cpu_count()} cores, load of the machine {load}")
    print(f"median (most) of {starts} starts and {changes} changes of one Pod\n")
    print("| Pods |", " | ".join(str(one.pods) for one in pools), "|")
    print("|---" * (len(pools) + 1) + "|")
    for what, value in ROWS.items():
        print(f"| {what} |", " | ".join(value(one) for one in pools), "|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES, metavar="PODS")
    parser.add_argument("--starts", type=int, default=STARTS, help=f"of the picker ({STARTS})")
    parser.add_argument("--changes", type=int, default=CHANGES, help=f"of a Pod ({CHANGES})")
    given = parser.parse_args()
    if min(given.starts, given.changes, *given.sizes) < 1:
        parser.error("all of these are at least 1")
    built = the_build()
    if not built.exists:
        sys.exit(f"no kube-apiserver in {built.folder}: `make cluster` builds it, which needs Go")
    if GOLANG is None:
        sys.exit("The simulated servers are written in Go, and there is no `go` on the path.")
    build_programs()
    with running_control_plane(built) as control_plane:
        pools = [
            asyncio.run(measured(control_plane, size, given.starts, given.changes))
            for size in given.sizes
        ]
    show(pools, given.starts, given.changes)


if __name__ == "__main__":
    main()
