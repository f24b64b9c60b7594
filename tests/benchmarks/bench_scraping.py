"""What scraping costs: microseconds a page, and CPU of a picker that only scrapes. Run it alone.

python tests/benchmarks/bench_scraping.py [--servers 0 10 100] [--seconds 5]

With 0 servers only the measuring itself costs anything: subtract that line from the others.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import random
import resource
import time
import timeit
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import cast

import uvloop

from epp.core.endpoint import Endpoint, EndpointMetrics
from epp.datalayer.scraping.engines import ENGINES
from epp.datalayer.scraping.http_response import ResponseReader
from epp.datalayer.scraping.outcome import ScrapeOutcome
from epp.datalayer.scraping.page import is_filtered, read_page
from epp.datalayer.scraping.scraper import Scraper
from epp.datalayer.scraping.settings import ScrapeSettings
from epp.datalayer.store import EndpointSpec, EndpointStore

FIXTURES = Path(__file__).parents[1] / "fixtures" / "vllm-0.32"
VLLM = ENGINES["vllm"]
HEAD = (
    b"HTTP/1.1 200 OK\r\ndate: Fri, 21 Nov 2025 05:00:00 GMT\r\nserver: uvicorn\r\n"
    b"content-type: text/plain; version=0.0.4; charset=utf-8\r\ncontent-length: %d\r\n\r\n"
)


def filtered(page: bytes) -> bytes:
    """What prometheus_client answers to the filtered form of the request."""
    lines = []
    for line in page.splitlines(keepends=True):
        name = line.split(b" ")[2] if line.startswith(b"#") else line.partition(b"{")[0]
        if name.decode() in VLLM.families:
            lines.append(line)
    return b"".join(lines)


def pages() -> dict[str, bytes]:
    found = {}
    for path in sorted(FIXTURES.glob("metrics-*.txt")):
        page = path.read_bytes()
        found[f"{path.stem} full"] = page
        found[f"{path.stem} filtered"] = filtered(page)
    return found


def microseconds(call: Callable[[], object]) -> float:
    return min(timeit.repeat(call, number=200, repeat=7)) / 200 * 1e6


def bench_pages() -> None:
    print(f"{'page':<42}{'bytes':>8}{'read µs':>9}{'judge µs':>9}{'HTTP µs':>9}")
    previous = EndpointMetrics()
    for name, page in pages().items():
        wire = HEAD % len(page) + page
        read = microseconds(partial(read_page, page, VLLM, previous, 1.0))
        judge = microseconds(partial(is_filtered, page, VLLM))
        http = microseconds(lambda wire=wire: ResponseReader(8 << 20).feed(wire))  # type: ignore[misc]
        print(f"{name:<42}{len(page):>8}{read:>9.1f}{judge:>9.1f}{http:>9.1f}")


class Server(asyncio.Protocol):
    """Answers every GET at once: the filtered form filtered, any other with the whole page."""

    def __init__(self, whole: bytes, part: bytes) -> None:
        self._answers = {True: HEAD % len(part) + part, False: HEAD % len(whole) + whole}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._answers[b"?name" in data])


def serve(pipe: Pipe, fixture: str, knows_the_filter: bool) -> None:
    whole = (FIXTURES / fixture).read_bytes()
    part = filtered(whole) if knows_the_filter else whole

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Server(whole, part), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(run())


async def scrape(port: int, servers: int, seconds: float) -> str:
    """CPU after a time to settle; a second task measures the stalls of the loop."""
    store = EndpointStore()
    store.apply([EndpointSpec(f"server-{i}", "127.0.0.1", port) for i in range(servers)])
    readings = failures = 0

    def on_reading(endpoint: Endpoint, outcome: ScrapeOutcome) -> None:
        nonlocal readings, failures
        readings += 1
        failures += outcome.metrics is None
        endpoint.metrics = outcome.metrics or endpoint.metrics

    scraper = Scraper(store, ScrapeSettings(), time.monotonic, on_reading, random.Random(1))
    task = asyncio.ensure_future(scraper.run())
    await asyncio.sleep(5.0 + servers / 100)
    readings, before, since = 0, cpu(), time.monotonic()
    worst = 0.0
    while time.monotonic() - since < seconds:
        at = time.monotonic()
        await asyncio.sleep(0.005)
        worst = max(worst, time.monotonic() - at - 0.005)
    used, took = cpu() - before, time.monotonic() - since
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    per_scrape = used / readings * 1e6 if readings else 0.0
    return (
        f"{readings / took:>8.0f} scrapes/s{used / took:>8.3f} core"
        f"{per_scrape:>7.0f} µs CPU a scrape{worst * 1e3:>7.2f} ms worst wake-up"
        f"{failures:>5} failed"
    )


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def bench_scraper(counts: list[int], seconds: float) -> None:
    spawn = multiprocessing.get_context("spawn")
    cases = (("idle", "metrics-plain.txt"), ("busy", "metrics-loaded-lora.txt"))
    for knows_the_filter in (True, False):
        for label, fixture in cases:
            ours, theirs = spawn.Pipe()
            child = spawn.Process(target=serve, args=(theirs, fixture, knows_the_filter))
            child.start()
            port = ours.recv()
            for servers in counts:
                found = uvloop.run(scrape(port, servers, seconds))
                form = "filtered" if knows_the_filter else "full"
                print(f"{form:<9}{label:<5}{servers:>5} servers{found}", flush=True)
            child.terminate()
            child.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, nargs="*", default=[0, 10, 100, 1000])
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    bench_pages()
    bench_scraper(options.servers, options.seconds)


if __name__ == "__main__":
    main()
