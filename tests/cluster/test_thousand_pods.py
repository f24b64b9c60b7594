"""A pool of a thousand Pods: found, picked among, and thinned out under load; what it costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from epp.envoyconfig.bootstrap import bootstrap
from epp.envoyconfig.settings import EnvoySettings, Mode
from tests.cluster.api import each
from tests.cluster.load import running_load
from tests.cluster.namespace import Namespace
from tests.cluster.picker import KubernetesPicker, StartPicker
from tests.cluster.waiting import eventually
from tests.helpers.crowd import GOLANG, build_programs, cpu_seconds, running_servers
from tests.helpers.envoy import RunningEnvoy
from tests.helpers.picker import rss_kib

PODS = 1000
GOING = 200
IDLE_SECONDS = 5.0

pytestmark = pytest.mark.skipif(
    GOLANG is None, reason="a thousand servers are a Go program, and there is no `go` on the path"
)


async def has(picker: KubernetesPicker, count: int, seconds: float) -> float:
    """Waits for so many endpoints; how long it took, in seconds."""
    begin = time.monotonic()
    await eventually(
        f"{count} endpoints", lambda: picker.status()["endpoint_count"] == count, seconds
    )
    return time.monotonic() - begin


async def test_a_thousand_pods(namespace: Namespace, start_picker: StartPicker) -> None:
    build_programs()
    with running_servers(PODS) as servers:
        port = int(servers.addresses[0].rpartition(":")[2])
        addresses = [server.rpartition(":")[0] for server in servers.addresses]
        await namespace.create_pool(ports=[port])
        await each(range(PODS), lambda n: namespace.run_pod(f"pod-{n}", addresses[n]))
        account, begin = await namespace.account(), time.monotonic()
        async with start_picker(namespace, account=account) as picker:
            await picker.ready(60.0)
            print(f"\nready {time.monotonic() - begin:.1f} s after its start")
            print(f"all {PODS} known {await has(picker, PODS, 60.0):.1f} s after that")
            await report_idle(picker)
            settings = EnvoySettings(
                listen_port=0,
                admin_port=0,
                picker_port=picker.grpc_port,
                model_servers=tuple(servers.addresses),
                mode=Mode.LIGHT,
            )
            with RunningEnvoy(bootstrap(settings)) as envoy:
                async with running_load(envoy.url, users=10) as load:
                    await load.goes_on(500)
                    await each(range(GOING), lambda n: namespace.terminate_pod(f"pod-{n}"))
                    seconds = await has(picker, PODS - GOING, 30.0)
                    print(f"{GOING} Pods gone {seconds:.2f} s after the last was deleted")
                    await quiet(servers.stats, range(GOING))
                    await load.goes_on(100)
            assert load.failures == []
            stats = servers.stats()
            assert (stats["unpicked"], stats["elsewhere"]) == (0, 0)
            used = sum(row["served"] > 0 for row in stats["servers"])
            print(f"{load.ok} answers by {used} servers, RSS {rss_kib(picker.pid) / 1024:.0f} MiB")
            assert used >= PODS // 5


async def report_idle(picker: KubernetesPicker) -> None:
    begin = cpu_seconds(picker.pid)
    await asyncio.sleep(IDLE_SECONDS)
    cores = (cpu_seconds(picker.pid) - begin) / IDLE_SECONDS
    print(f"idle: {cores:.2f} cores, RSS {rss_kib(picker.pid) / 1024:.0f} MiB")


async def quiet(stats: Callable[[], dict[str, list[dict[str, int]]]], gone: range) -> None:
    """None of these servers is asked any more, once what was under way has ended."""

    def served() -> int:
        return sum(stats()["servers"][n]["served"] for n in gone)

    await asyncio.sleep(1.0)
    before = served()
    await asyncio.sleep(1.0)
    assert served() == before
