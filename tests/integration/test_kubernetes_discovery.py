"""The whole of discovery over real HTTP, against a server whose faults can be chosen."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from epp.datalayer.discovery.kubernetes.discovery import KubernetesDiscovery, Outlets
from epp.datalayer.discovery.kubernetes.settings import (
    EndpointSelector,
    KubernetesSettings,
    PoolReference,
)
from epp.datalayer.discovery.kubernetes.view import ClusterRouting
from epp.datalayer.store import Change, EndpointSpec, EndpointStore
from tests.helpers.api_server import (
    OBJECTIVES,
    OLD_OBJECTIVES,
    PODS,
    POOLS,
    ApiServerDouble,
    a_pod,
    a_pool,
    always,
    an_objective,
    once,
    running_api_server,
    status,
)


class Known:
    """What discovery has told, and a way to wait for it."""

    def __init__(self) -> None:
        self.store = EndpointStore()
        self.sizes: list[int] = []  # of the pool, at each change
        self.routing = ClusterRouting()
        self.known: list[bool] = []
        self.outlets = Outlets(self._endpoints, self._route, self.known.append)

    def _endpoints(self, specs: tuple[EndpointSpec, ...]) -> Change:
        self.sizes.append(len(specs))
        return self.store.apply(specs)

    def _route(self, routing: ClusterRouting) -> None:
        self.routing = routing

    def addresses(self) -> list[str]:
        return [endpoint.authority for endpoint in self.store.endpoints]

    async def has(self, *addresses: str) -> None:
        await until(lambda: self.addresses() == list(addresses), lambda: self.addresses())

    async def routes(self, **priorities: int) -> None:
        await until(lambda: dict(self.routing.priorities) == priorities, lambda: self.routing)


async def until(check: Callable[[], bool], seen: Callable[[], object] = lambda: "") -> None:
    for _ in range(1500):
        if check():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"waited in vain; seen: {seen()}")


@pytest.fixture
async def api() -> AsyncIterator[ApiServerDouble]:
    async with running_api_server() as server:
        yield server


@asynccontextmanager
async def following(
    api: ApiServerDouble, folder: Path, target: PoolReference | EndpointSelector | None = None
) -> AsyncIterator[Known]:
    known = Known()
    settings = KubernetesSettings(
        target or PoolReference("pool"), "ns", api.write_kubeconfig(folder)
    )
    discovery = KubernetesDiscovery(settings, known.outlets, random.Random(3))
    await discovery.load()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(discovery.run())
        yield known
        task.cancel()


async def a_pool_of_two(api: ApiServerDouble) -> None:
    await api.put(POOLS, a_pool())
    await api.put(PODS, a_pod("a", "10.0.0.1"))
    await api.put(PODS, a_pod("b", "10.0.0.2"))


BOTH = ("10.0.0.1:8000", "10.0.0.2:8000")


async def test_pods_come_and_go(api: ApiServerDouble, tmp_path: Path) -> None:
    await a_pool_of_two(api)
    async with following(api, tmp_path) as known:
        await known.has(*BOTH)
        assert known.known == [True]
        await api.put(PODS, a_pod("b", "10.0.0.2", ready=False))
        await known.has("10.0.0.1:8000")
        await api.put(PODS, a_pod("c", "fd00::3"))
        await known.has("10.0.0.1:8000", "[fd00::3]:8000")
        await api.remove(PODS, "a")
        await known.has("[fd00::3]:8000")


async def test_a_selector_without_any_pool(api: ApiServerDouble, tmp_path: Path) -> None:
    api.installed = {PODS}
    await api.put(PODS, a_pod("a", "10.0.0.1"))
    async with following(api, tmp_path, EndpointSelector("app=m", (1, 2))) as known:
        await known.has("10.0.0.1:1", "10.0.0.1:2")
        assert {request.path for request in api.requests} == {PODS}


async def test_a_pool_that_comes_later(api: ApiServerDouble, tmp_path: Path) -> None:
    async with following(api, tmp_path) as known:
        await until(lambda: api.asked(POOLS, "watch") == 1)
        assert known.known == []
        await a_pool_of_two(api)
        await known.has(*BOTH)
        assert known.known == [True]


async def test_a_pool_that_goes_takes_endpoints_and_objectives_with_it(
    api: ApiServerDouble, tmp_path: Path
) -> None:
    api.installed |= {OBJECTIVES}
    await a_pool_of_two(api)
    await api.put(OBJECTIVES, an_objective("gold", 5))
    async with following(api, tmp_path) as known:
        await known.has(*BOTH)
        await known.routes(gold=5)
        await api.remove(POOLS, "pool")
        await known.has()
        await known.routes()
        assert known.known == [True, False]
        await api.put(POOLS, a_pool(9000))
        await known.has("10.0.0.1:9000", "10.0.0.2:9000")
        await known.routes(gold=5)


async def test_another_selector_never_empties_the_pool(
    api: ApiServerDouble, tmp_path: Path
) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.StreamResponse | None:
        asked.set()
        await go.wait()
        return None

    await a_pool_of_two(api)
    await api.put(PODS, a_pod("n", "10.0.0.9", app="new"))
    async with following(api, tmp_path) as known:
        await known.has(*BOTH)
        api.faults[PODS, "list"] = slow
        await api.put(POOLS, a_pool(9000, app="new"))
        await asked.wait()
        await api.put(PODS, a_pod("c", "10.0.0.3"))
        await known.has(*BOTH, "10.0.0.3:8000")
        go.set()
        await known.has("10.0.0.9:9000")
        assert known.sizes == [2, 3, 1]
        await api.put(PODS, a_pod("a", "10.0.0.5"))
        await api.put(PODS, a_pod("n", "10.0.0.10", app="new"))
        await known.has("10.0.0.10:9000")


async def test_a_selector_that_is_taken_back_changes_nothing(
    api: ApiServerDouble, tmp_path: Path
) -> None:
    asked = asyncio.Event()

    async def never(_request: web.Request) -> web.StreamResponse | None:
        asked.set()
        await asyncio.Event().wait()
        return None

    await a_pool_of_two(api)
    async with following(api, tmp_path) as known:
        await known.has(*BOTH)
        api.faults[PODS, "list"] = never
        await api.put(POOLS, a_pool(app="new"))
        await asked.wait()
        await api.put(POOLS, a_pool())
        await api.put(PODS, a_pod("c", "10.0.0.3"))
        await known.has(*BOTH, "10.0.0.3:8000")


async def test_an_expired_version_is_listed_anew(api: ApiServerDouble, tmp_path: Path) -> None:
    async def expired(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        line = b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}\n'
        await response.write(line)
        await api.put(PODS, a_pod("c", "10.0.0.3"))
        return response

    await a_pool_of_two(api)
    api.faults[PODS, "watch"] = once(expired)
    async with following(api, tmp_path) as known:
        await known.has(*BOTH, "10.0.0.3:8000")
        assert api.asked(PODS, "list") == 2
        assert 0 not in known.sizes


@pytest.mark.parametrize(
    "rest",
    [b'{"type":"ADDED","object":{"met', b"<html>Bad gateway</html>\n", b'{"type":"NEW"}\n', b""],
    ids=["half-a-line", "html", "unknown-event", "nothing"],
)
async def test_a_watch_that_breaks_is_opened_again(
    api: ApiServerDouble, tmp_path: Path, rest: bytes
) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(rest)
        return response

    await a_pool_of_two(api)
    api.faults[PODS, "watch"] = once(broken)
    async with following(api, tmp_path) as known:
        await known.has(*BOTH)
        await until(lambda: api.asked(PODS, "watch") == 2)
        await api.put(PODS, a_pod("c", "10.0.0.3"))
        await known.has(*BOTH, "10.0.0.3:8000")
        assert api.asked(PODS, "list") == 1


async def test_an_api_server_that_is_away_is_told_once(
    api: ApiServerDouble, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await a_pool_of_two(api)
    async with following(api, tmp_path) as known:
        await known.has(*BOTH)
        await until(lambda: api.asked(PODS, "watch") == 1)
        await api.stop()
        await until(lambda: "the API server fails" in caplog.text)
        await api.put(PODS, a_pod("c", "10.0.0.3"))
        await api.start()
        await known.has(*BOTH, "10.0.0.3:8000")
        await until(lambda: "serves again" in caplog.text)
        assert 0 not in known.sizes
        assert known.known == [True]
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 2


async def test_a_start_without_an_api_server(api: ApiServerDouble, tmp_path: Path) -> None:
    await a_pool_of_two(api)
    await api.stop()
    async with following(api, tmp_path) as known:
        await asyncio.sleep(0.1)
        assert known.known == []
        await api.start()
        await known.has(*BOTH)


async def test_permission_that_is_missing_is_named_and_asked_for_again(
    api: ApiServerDouble, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await a_pool_of_two(api)
    api.faults[PODS, "list"] = always(403, "pods is forbidden")
    async with following(api, tmp_path) as known:
        await until(lambda: "not permitted" in caplog.text)
        assert "list pods in namespace ns" in caplog.text
        assert known.known == []
        del api.faults[PODS, "list"]
        await known.has(*BOTH)


async def test_what_is_not_installed_is_no_matter_of_permission(
    api: ApiServerDouble, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await a_pool_of_two(api)
    api.faults[OBJECTIVES, "list"] = always(403, "forbidden")
    async with following(api, tmp_path) as known:
        await known.has(*BOTH)
    assert "not permitted" not in caplog.text
    assert "/apis/llm-d.ai/v1alpha2" in {request.path for request in api.requests}


async def test_a_token_that_was_replaced_is_read_again(
    api: ApiServerDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epp.datalayer.discovery.kubernetes.client.RENEWAL_SECONDS", 0.0)
    await a_pool_of_two(api)
    async with following(api, tmp_path) as known:
        await known.has(*BOTH)
        api.token = "second"
        api.write_kubeconfig(tmp_path)
        await api.stop()
        await api.start()
        await api.put(PODS, a_pod("c", "10.0.0.3"))
        await known.has(*BOTH, "10.0.0.3:8000")


async def test_a_resource_that_vanishes_for_a_moment_loses_nothing(
    api: ApiServerDouble, tmp_path: Path
) -> None:
    await a_pool_of_two(api)
    async with following(api, tmp_path) as known:
        await known.has(*BOTH)
        await until(lambda: api.asked(POOLS, "watch") == 1)
        api.faults[POOLS, "watch"] = once(lambda _: asyncio.sleep(0, status(404, "starting")))
        await api.stop()
        await api.start()
        await until(lambda: api.asked(POOLS, "watch") == 3)
        assert known.sizes == [2]
        assert known.known == [True]


async def test_the_current_group_goes_before_the_old_one(
    api: ApiServerDouble, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api.installed |= {OBJECTIVES, OLD_OBJECTIVES}
    await a_pool_of_two(api)
    await api.put(OLD_OBJECTIVES, an_objective("gold", 1))
    await api.put(OBJECTIVES, an_objective("gold", 2))
    async with following(api, tmp_path) as known:
        await known.routes(gold=2)
        await api.put(OLD_OBJECTIVES, an_objective("silver", 1))
        await api.put(OBJECTIVES, an_objective("gold", 3))
        await known.routes(gold=3)
    assert caplog.text.count("ignored, since llm-d.ai is installed too") == 1


async def test_one_wrong_object_is_named_and_harms_no_other(
    api: ApiServerDouble, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await a_pool_of_two(api)
    await api.put(PODS, a_pod("bad", "not-an-address"))
    async with following(api, tmp_path) as known:
        await known.has(*BOTH)
        await api.put(PODS, a_pod("bad", "10.0.0.8"))
        await known.has("10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.8:8000")
    assert "Pod ns/bad is left out: status.podIP: 'not-an-address'" in caplog.text


async def test_many_pods_come_in_pages_and_are_published_together(
    api: ApiServerDouble, tmp_path: Path
) -> None:
    await api.put(POOLS, a_pool())
    for number in range(300):
        await api.put(PODS, a_pod(f"p{number:03}", f"10.0.{number // 250}.{number % 250 + 1}"))
    async with following(api, tmp_path) as known:
        await until(lambda: len(known.store.endpoints) == 300)
        assert known.sizes == [300]
        assert api.asked(PODS, "list") > 1
        for number in range(300):
            await api.remove(PODS, f"p{number:03}")
        await known.has()
        assert len(known.sizes) < 100  # not one for each event
