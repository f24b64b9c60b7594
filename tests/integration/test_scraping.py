"""The scraper against servers on loopback: good ones, old ones, and hostile ones."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import uvloop
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from epp.core.endpoint import NEVER, Endpoint
from epp.datalayer.scraping.outcome import Failure, ScrapeOutcome
from epp.datalayer.scraping.scraper import Scraper
from epp.datalayer.scraping.settings import ScrapeSettings
from epp.datalayer.store import EndpointSpec, EndpointStore

FULL_PAGE = Path(__file__).parents[1] / "fixtures/vllm-0.32/metrics-loaded-lora.txt"
SMALL_PAGE = b"vllm:num_requests_waiting 2\nvllm:num_requests_running 5\n"
MIB = 1024 * 1024

Handler = Callable[[str, asyncio.StreamWriter], Awaitable[None]]  # the target of the request


def answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


class ModelServer:
    """A raw HTTP server that does with each request what its handler says."""

    def __init__(self, handler: Handler | bytes) -> None:
        self.targets: list[str] = []  # in the order asked
        self.connections = 0
        self.answering = self.most_answering = 0
        self.port = 0
        self._handler = handler
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ")[1].decode()
                self.targets.append(target)
                self.answering += 1
                self.most_answering = max(self.most_answering, self.answering)
                try:
                    if isinstance(self._handler, bytes):
                        writer.write(self._handler)
                    else:
                        await self._handler(target, writer)
                    await writer.drain()
                finally:
                    self.answering -= 1
        writer.close()


class Watcher:
    """Collects outcomes; assigns metrics as the ledger does."""

    def __init__(self, store: EndpointStore, settings: ScrapeSettings) -> None:
        self.store = store
        self.outcomes: list[ScrapeOutcome] = []
        self.scraper = Scraper(store, settings, time.monotonic, self._take, random.Random(1))
        self._news = asyncio.Event()

    def _take(self, endpoint: Endpoint, outcome: ScrapeOutcome) -> None:
        assert (outcome.metrics is None) is (outcome.failure is not None)
        assert outcome.started_at <= outcome.finished_at
        if outcome.metrics is not None:
            endpoint.metrics = outcome.metrics
        self.outcomes.append(outcome)
        self._news.set()

    @property
    def endpoint(self) -> Endpoint:
        return self.store.endpoints[0]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def scrapes(self, count: int) -> list[ScrapeOutcome]:
        seen = len(self.outcomes)
        await self.until(lambda: len(self.outcomes) >= seen + count)
        return self.outcomes[seen : seen + count]


QUICK = ScrapeSettings(interval_seconds=0.01, idle_interval_seconds=0.02, timeout_seconds=0.3)


@contextlib.asynccontextmanager
async def watching(
    *ports: int, settings: ScrapeSettings = QUICK, labels: dict[str, str] | None = None
) -> AsyncIterator[Watcher]:
    store = EndpointStore()
    specs = [EndpointSpec(f"s-{p}", "127.0.0.1", p, labels=labels or {}) for p in ports]
    store.apply(specs)
    watcher = Watcher(store, settings)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watcher.scraper.run())
        yield watcher
        task.cancel()


@contextlib.asynccontextmanager
async def serving(handler: Handler | bytes) -> AsyncIterator[ModelServer]:
    server = ModelServer(handler)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def asked_filtered(target: str) -> bool:
    return target.startswith("/metrics/?name%5B%5D=vllm:num_requests_waiting&")


def official_client(drop: str = "") -> Handler:
    """What vLLM does: the bare path ignores the query, the slash goes to prometheus_client."""
    registry = CollectorRegistry()
    Counter("vllm:prompt_tokens", "x", registry=registry).inc(77)
    for name, value in (("running", 5), ("waiting", 2)):
        gauge = Gauge(f"vllm:num_requests_{name}", "x", ["engine"], registry=registry)
        gauge.labels("0").set(value)
        gauge.labels("1").set(value)
    Gauge("vllm:kv_cache_usage_perc", "x", ["engine"], registry=registry).labels("0").set(0.5)

    async def handle(target: str, writer: asyncio.StreamWriter) -> None:
        url = urlsplit(target)
        names = set(parse_qs(url.query).get("name[]", ())) - {drop}
        wanted = registry.restricted_registry(names) if url.path == "/metrics/" else registry
        writer.write(answer(generate_latest(wanted)))

    return handle


async def test_only_the_wanted_series_are_asked_for() -> None:
    async with serving(official_client()) as server, watching(server.port) as watcher:
        outcomes = await watcher.scrapes(10)
        metrics = watcher.endpoint.metrics
        assert (metrics.waiting, metrics.running, metrics.kv_cache_usage) == (4, 10, 0.5)
        assert metrics.running_read_at == watcher.outcomes[-1].finished_at
        assert metrics.cache_config_read_at == NEVER
        assert all(outcome.failure is None for outcome in outcomes)
        # The cache config is on neither page, so the second request compares with the whole one.
        filtered = [asked_filtered(target) for target in server.targets]
        assert filtered == [True, False] + [True] * (len(filtered) - 2)
        assert server.connections == 1


async def test_a_series_that_the_filter_loses_ends_filtering() -> None:
    handler = official_client(drop="vllm:kv_cache_usage_perc")
    async with serving(handler) as server, watching(server.port) as watcher:
        await watcher.scrapes(6)
        assert [asked_filtered(target) for target in server.targets][:6] == [True] + [False] * 5
        assert watcher.endpoint.metrics.kv_cache_usage == 0.5


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(answer(b"no", "404 Not Found"), id="not-found"),
        pytest.param(
            answer(b"", "307 Temporary Redirect", "location: /metrics\r\n"), id="redirect"
        ),
        pytest.param(answer(b"", "404 Not Found", "connection: close\r\n"), id="and-close"),
        pytest.param(answer(b"<html>hello</html>\n"), id="another-page"),
        pytest.param(answer(FULL_PAGE.read_bytes()), id="the-whole-page"),
    ],
)
async def test_servers_without_the_filter_are_asked_the_plain_way(refusal: bytes) -> None:
    async def handle(target: str, writer: asyncio.StreamWriter) -> None:
        filtered = asked_filtered(target)
        writer.write(refusal if filtered else answer(FULL_PAGE.read_bytes()))
        if filtered and b"close" in refusal:
            writer.close()

    async with serving(handle) as server, watching(server.port) as watcher:
        outcomes = await watcher.scrapes(5)
        assert all(outcome.failure is None for outcome in outcomes)
        assert [asked_filtered(target) for target in server.targets][:5] == [True] + [False] * 4
        metrics = watcher.endpoint.metrics
        assert (metrics.waiting, metrics.running, metrics.num_blocks) == (3, 3, 64)
        assert metrics.running_adapters == {"ad1"}


async def test_a_server_that_closes_after_each_answer_is_served_all_the_same() -> None:
    async def handle(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + SMALL_PAGE + b"# EOF\n")
        writer.close()

    async with serving(handle) as server, watching(server.port) as watcher:
        outcomes = await watcher.scrapes(4)
        assert all(outcome.failure is None for outcome in outcomes)
        assert watcher.endpoint.metrics.running == 5
        assert server.connections >= 4


async def test_restarts_are_survived() -> None:
    async with serving(answer(SMALL_PAGE)) as server, watching(server.port) as watcher:
        for _ in range(5):
            await watcher.scrapes(1)
            await server.stop()
            await server.start()
        await watcher.scrapes(2)
        failures = {outcome.failure for outcome in watcher.outcomes}
        assert failures <= {None, Failure.REFUSED, Failure.LOST}  # if it caught the moment
        assert watcher.outcomes[-1].failure is None or watcher.outcomes[-2].failure is None


async def test_a_request_that_crosses_the_close_of_its_connection_is_sent_again() -> None:
    closing = 0

    async def handle(_: str, writer: asyncio.StreamWriter) -> None:
        nonlocal closing
        closing += 1
        if closing % 2:
            writer.write(answer(SMALL_PAGE))
        else:
            writer.close()

    async with serving(handle) as server, watching(server.port) as watcher:
        outcomes = await watcher.scrapes(6)
        assert all(outcome.failure is None for outcome in outcomes)
        assert server.connections >= 4


async def test_nobody_there_and_then_somebody() -> None:
    server = ModelServer(answer(SMALL_PAGE))
    await server.start()
    await server.stop()
    async with watching(server.port) as watcher:
        outcomes = await watcher.scrapes(2)
        assert [outcome.failure for outcome in outcomes] == [Failure.REFUSED] * 2
        assert str(server.port) in outcomes[0].detail
        await server.start()
        await watcher.until(lambda: watcher.endpoint.metrics.running == 5)
    await server.stop()


async def silence(_: str, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def drip_page(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    for _i in range(3000):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def headers_for_ever(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x-more: and more\r\n" * 100)
        await writer.drain()


def endless(head: bytes, piece: bytes) -> Handler:
    async def handle(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for _i in range(50 * MIB // len(piece)):
            writer.write(piece)
            await writer.drain()

    return handle


async def half(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(answer(SMALL_PAGE)[:-10])
    writer.close()


OK = b"HTTP/1.1 200 OK\r\n"
CHUNK = b"10000\r\n" + b"# x\n" * 16384 + b"\r\n"
LENGTH = b"content-length: 52428800\r\n\r\n"


@pytest.mark.parametrize(
    ("handler", "failure"),
    [
        pytest.param(silence, Failure.TIMEOUT, id="silence"),
        pytest.param(drip_page, Failure.TIMEOUT, id="slow-drip"),
        pytest.param(headers_for_ever, Failure.MALFORMED, id="headers-for-ever"),
        pytest.param(endless(OK + LENGTH, b"# x\n" * 9999), Failure.TOO_LARGE, id="50-mb"),
        pytest.param(
            endless(OK + b"\r\n", b"# x\n" * 9999), Failure.TOO_LARGE, id="50-mb-unframed"
        ),
        pytest.param(
            endless(OK + b"transfer-encoding: chunked\r\n\r\n", CHUNK),
            Failure.TOO_LARGE,
            id="50-mb-chunked",
        ),
        pytest.param(half, Failure.LOST, id="cut-off"),
        pytest.param(answer(b""), Failure.MALFORMED, id="empty"),
        pytest.param(answer(bytes(range(256)) * 99), Failure.MALFORMED, id="binary"),
        pytest.param(b"\x15\x03\x01\x00\x02" * 9, Failure.TIMEOUT, id="some-binary"),
        pytest.param(b"\x15\x03\x01\x00\x02" * 9999, Failure.MALFORMED, id="more-binary"),
        pytest.param(answer(b"oops", "500 Oops"), Failure.HTTP_STATUS, id="500"),
        pytest.param(answer(b"", "404 Not Found"), Failure.HTTP_STATUS, id="404-everywhere"),
    ],
)
async def test_a_bad_server_harms_neither_us_nor_the_others(
    handler: Handler | bytes, failure: Failure
) -> None:
    settings = ScrapeSettings(interval_seconds=0.01, timeout_seconds=0.5)
    async with (
        serving(handler) as bad,
        serving(answer(SMALL_PAGE)) as good,
        watching(bad.port, good.port, settings=settings) as watcher,
    ):
        await watcher.until(lambda: failed(watcher) >= 2)
        failures = [outcome for outcome in watcher.outcomes if outcome.failure]
        assert {outcome.failure for outcome in failures} == {failure}
        assert all(outcome.detail for outcome in failures)
        assert watcher.endpoint.metrics.running_read_at == NEVER
        assert watcher.store.endpoints[1].metrics.running == 5


def failed(watcher: Watcher) -> int:
    return sum(outcome.failure is not None for outcome in watcher.outcomes)


async def test_the_status_is_told() -> None:
    async with serving(answer(b"", "503 Sleeping")) as server, watching(server.port) as watcher:
        outcome = (await watcher.scrapes(1))[0]
        assert (outcome.failure, outcome.status) == (Failure.HTTP_STATUS, 503)


async def test_a_page_just_below_the_cap_is_read() -> None:
    filler = b"# " + b"x" * 1021 + b"\n"
    page = filler * 4090 + SMALL_PAGE + filler * 4090
    settings = ScrapeSettings(interval_seconds=0.01, timeout_seconds=10.0)
    async with (
        serving(answer(page)) as server,
        watching(server.port, settings=settings) as watcher,
    ):
        outcome = (await watcher.scrapes(1))[0]
        assert outcome.metrics is not None
        assert outcome.metrics.running == 5


async def test_one_scrape_at_a_time_for_each_server() -> None:
    async def slowly(_: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(answer(SMALL_PAGE))

    async with serving(slowly) as server, watching(server.port) as watcher:
        for _ in range(5):
            watcher.scraper.refresh(watcher.endpoint)
            await watcher.scrapes(1)
        assert server.most_answering == 1
        assert server.connections == 1


async def test_refresh_brings_the_next_scrape_forward() -> None:
    settings = ScrapeSettings(interval_seconds=0.01, idle_interval_seconds=3600.0)
    idle = answer(b"vllm:num_requests_waiting 0\nvllm:num_requests_running 0\n")
    async with serving(idle) as server, watching(server.port, settings=settings) as watcher:
        await watcher.until(lambda: len(watcher.outcomes) >= 9)
        for _ in range(15):  # left alone, these would take minutes
            watcher.scraper.refresh(watcher.endpoint)
            await watcher.scrapes(1)


async def test_what_was_in_flight_at_the_start_is_told() -> None:
    async with serving(answer(SMALL_PAGE)) as server, watching(server.port) as watcher:
        watcher.endpoint.load.requests = 7
        outcomes = await watcher.scrapes(2)
        assert outcomes[-1].requests_at_start == 7


async def test_an_endpoint_that_leaves_is_left_alone() -> None:
    left = asyncio.Event()

    async def slowly(_: str, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.wait_for(left.wait(), 20)
        finally:
            writer.write(answer(SMALL_PAGE))

    async with (
        serving(slowly) as leaving,
        serving(answer(SMALL_PAGE)) as staying,
        watching(leaving.port, staying.port) as watcher,
    ):
        await watcher.until(lambda: leaving.answering == 1)
        gone = watcher.endpoint
        watcher.store.apply([EndpointSpec(f"s-{staying.port}", "127.0.0.1", staying.port)])
        left.set()
        await watcher.scrapes(10)
        assert gone.metrics.running_read_at == NEVER
        assert len(leaving.targets) == 1
        watcher.scraper.refresh(gone)


async def test_another_engine_label_is_followed() -> None:
    page = b"sglang:num_queue_reqs 9\nvllm:num_requests_waiting 2\n"
    async with serving(answer(page)) as server, watching(server.port) as watcher:
        await watcher.until(lambda: watcher.endpoint.metrics.waiting == 2)
        spec = EndpointSpec(
            watcher.endpoint.name,
            "127.0.0.1",
            server.port,
            labels={"llm-d.ai/engine-type": "sglang"},
        )
        assert watcher.store.apply([spec]).updated == (watcher.endpoint,)
        await watcher.until(lambda: watcher.endpoint.metrics.waiting == 9)


async def test_a_scrape_port_of_its_own() -> None:
    async with serving(answer(SMALL_PAGE)) as server:
        settings = ScrapeSettings(interval_seconds=0.01, port=server.port, path="/stats")
        async with watching(1, settings=settings) as watcher:
            await watcher.scrapes(1)
            assert server.targets[0].startswith("/stats/?name")


async def test_an_error_in_the_ledger_ends_the_scraper() -> None:
    def broken(endpoint: Endpoint, outcome: ScrapeOutcome) -> None:
        raise LookupError("a bug")

    async with serving(answer(SMALL_PAGE)) as server:
        store = EndpointStore()
        store.apply([EndpointSpec("a", "127.0.0.1", server.port)])
        scraper = Scraper(store, QUICK, time.monotonic, broken, random.Random(1))
        with pytest.raises(ExceptionGroup) as caught:
            await asyncio.wait_for(scraper.run(), 20)
        assert caught.value.subgroup(LookupError) is not None


def test_on_uvloop() -> None:
    async def run() -> None:
        async with serving(official_client()) as server, watching(server.port) as watcher:
            await watcher.scrapes(5)
            assert watcher.endpoint.metrics.running == 10
        async with watching(server.port) as watcher:
            outcomes = await watcher.scrapes(2)
            assert [outcome.failure for outcome in outcomes] == [Failure.REFUSED] * 2

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def test_other_settings_while_running_ask_every_endpoint_afresh() -> None:
    async def handle(target: str, writer: asyncio.StreamWriter) -> None:
        other = target.startswith("/stats")
        writer.write(answer(SMALL_PAGE.replace(b"5", b"9") if other else SMALL_PAGE))

    async with (
        serving(handle) as one,
        serving(handle) as two,
        watching(one.port, two.port) as watcher,
    ):
        endpoints = watcher.store.endpoints
        await watcher.until(lambda: all(e.metrics.running == 5 for e in endpoints))
        watcher.scraper.reconfigure(replace(QUICK))
        await watcher.scrapes(4)
        assert (one.connections, two.connections) == (1, 1)  # nothing is new in these
        watcher.scraper.reconfigure(replace(QUICK, path="/stats"))
        await watcher.until(lambda: all(e.metrics.running == 9 for e in endpoints))
        assert (one.connections, two.connections) == (2, 2)
