"""The cells of the benchmark: one target, simulated servers and the driver; one JSON line a cell."""

from __future__ import annotations

import json
import os
import string
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processes import (
    Cores,
    Process,
    Processes,
    as_command,
    cpu_seconds,
    free_port,
    on,
    resident_mib,
    wait_for_port,
)

Row = dict[str, Any]

ADDRESS = "127.0.0.1"
FIRST_SERVER = "127.1.0.1"
LARGE = 100_000  # characters from which on prompts are few and the driver's queue is short
# What our own Envoy configuration sends in light mode.
LIGHT = (
    *("-mode", "buffered", "-resp", "none"),
    *("-metadata", "x-epp-gateway=lists", "-attributes"),
)
PARTS_OF_CAPACITY = (25, 50, 75)  # percent
IDLE_SIZES = (10, 100)  # of pools
DECIDING_SIZES = (10, 100, 1000)
DECIDING_RATE = 200.0  # requests/s: a fifth to a half of a core at a thousand endpoints
IDLE_GAUGES = ("-jitter-gauges",)  # of servers that serve nothing, so that scorers have work
OVERLOADED = (5, 4, 250)  # servers, places in each, milliseconds a request
OVERLOADED_CLASSES = [
    {"name": name, "share": share, "headers": {"x-gateway-inference-objective": name}}
    for name, share in (("critical", 0.25), ("standard", 0.5), ("sheddable", 0.25))
]
SHOWN = (
    *("cpu_us_per_req_net", "cpu_us_per_req", "rps", "cpu_cores", "driver_cores", "pick_ms"),
    *("sent", "errors", "error_kinds", "refused", "warm_up_failures", "failed"),
    *("idle_cores", "scrapes_per_s", "us_per_scrape", "rss_mib"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What to measure, and for how long."""

    binaries: Path
    work: Path
    page: Path
    out: Path
    deadline: float  # monotonic; no cell starts after it
    chars: tuple[int, ...] = (900, 10_000, 400_000)
    chunks: tuple[int, ...] = (0, 100)
    sizes: tuple[int, ...] = ()  # of pools; none: the usual ones of the cell
    seconds: float = 4.0
    settle_seconds: float = 1.5
    rate_factor: float = 1.0
    driver_flags: tuple[str, ...] = ()
    cores: Cores = field(default_factory=Cores.of_this_machine)


@dataclass(frozen=True, slots=True)
class Target:
    """A picker: its command and configuration with $PORT, $ENDPOINTS, $CONFIG and so on."""

    name: str
    command: str
    config: str | None = None


class OutOfTimeError(Exception):
    """The run has used up its time."""


class Bench:
    """Measures one target; `close` ends what it started."""

    def __init__(self, settings: Settings, target: Target, repeat: int = 0) -> None:
        self.settings = settings
        self.target = target
        self.repeat = repeat
        settings.work.mkdir(parents=True, exist_ok=True)
        self.processes = Processes(settings.work)
        self.servers: Process | None = None
        self.picker: Process | None = None
        self.rates: dict[str, float] = {}  # requests/s of the cells so far
        self.size = 0
        self.servers_port = self.port = 0

    def run(self, cells: list[str]) -> None:
        try:
            for cell in cells:
                CELLS[cell](self)
        finally:
            self.processes.stop_all()

    def start_servers(self, size: int, flags: tuple[str, ...] = IDLE_GAUGES) -> None:
        self.processes.stop(self.servers)
        self.size, self.servers_port = size, free_port(FIRST_SERVER)
        self.servers = self.processes.start(
            "servers",
            [
                str(self.settings.binaries / "simpool"),
                *("-n", str(size), "-port", str(self.servers_port)),
                *("-page", str(self.settings.page), *flags),
                *("-write-endpoints", str(self.settings.work / "endpoints.yaml")),
            ],
            self.settings.cores.others,
        )
        if not wait_for_port(self.servers, FIRST_SERVER, self.servers_port):
            sys.exit(f"the simulated servers did not start:\n{self.processes.log('servers')}")

    def start_picker(self) -> Process:
        """A fresh one for every cell, so that no cell inherits memory or caches of another."""
        if time.monotonic() > self.settings.deadline:
            raise OutOfTimeError
        self.processes.stop(self.picker)
        self.port = free_port(ADDRESS)
        name = self.target.name
        self.picker = self.processes.start(
            name, as_command(self._filled_command()), self.settings.cores.picker
        )
        if not wait_for_port(self.picker, ADDRESS, self.port):
            sys.exit(f"{name} did not open port {self.port}:\n{self.processes.log(name)}")
        time.sleep(self.settings.settle_seconds)
        return self.picker

    def _filled_command(self) -> str:
        work = self.settings.work
        values = {
            "ENDPOINTS": str(work / "endpoints.yaml"),
            "CONFIG": str(work / "config.yaml"),
            "PORT": str(self.port),
            "HEALTH_PORT": str(free_port(ADDRESS)),
            "METRICS_PORT": str(free_port(ADDRESS)),
            "SIM_PORT": str(self.servers_port),
            "N": str(self.size),
            "WORK": str(work),
            "BIN": str(self.settings.binaries),
        }
        if self.target.config is not None:
            text = string.Template(self.target.config).safe_substitute(values)
            (work / "config.yaml").write_text(text)
        return string.Template(self.target.command).safe_substitute({**os.environ, **values})

    def drive(self, cell: str, *flags: str, seconds: float | None = None) -> None:
        """Run the driver against the picker that runs, and save what it says."""
        assert self.picker is not None
        seconds = self.settings.seconds if seconds is None else seconds
        command = [
            str(self.settings.binaries / "drive"),
            *("-target", f"{ADDRESS}:{self.port}", "-pid", str(self.picker.pid)),
            *("-n", str(self.size), "-sim-port", str(self.servers_port)),
            *("-label", self.target.name, "-seconds", str(seconds), "-timeout", "20"),
            *flags,
            *self.settings.driver_flags,
        ]
        try:
            with on(self.settings.cores.others):
                done = subprocess.run(
                    command, stdout=subprocess.PIPE, timeout=seconds + 150, check=False
                )
        except subprocess.TimeoutExpired:
            self.save(cell, {"failed": "the driver did not end in time"})
            return
        if done.returncode != 0:
            self.save(cell, {"failed": f"the driver ended with {done.returncode}"})
            return
        measured = json.loads(done.stdout)
        self.rates[cell] = measured["rps"] if measured["ok"] else 0.0
        self.save(cell, measured)

    def save(self, cell: str, measured: Mapping[str, Any]) -> None:
        head = {"target": self.target.name, "cell": cell, "repeat": self.repeat}
        row: Row = {**head, "load1": os.getloadavg()[0], **measured}
        with self.settings.out.open("a") as out:
            out.write(json.dumps(row) + "\n")
        shown = ", ".join(f"{key}={row[key]}" for key in SHOWN if row.get(key))
        print(f"{self.target.name} {cell}: {shown}", file=sys.stderr, flush=True)

    def server_scrapes(self) -> int:
        url = f"http://{FIRST_SERVER}:{self.servers_port}/sim/stats"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(json.load(answer)["scrapes"])


def requests(bench: Bench) -> None:
    """Cost per request at a modest fixed rate, idle cost subtracted."""
    bench.start_servers(10)
    factor = bench.settings.rate_factor
    for chars in bench.settings.chars:
        for chunks in bench.settings.chunks:
            rate = {0: 100.0, 100: 15.0, 1000: 3.0}.get(chunks, 10.0)
            if chars >= LARGE:
                rate = {0: 15.0, 100: 8.0, 1000: 2.0}.get(chunks, 4.0)
            bench.start_picker()
            bench.drive(
                f"req/{chars}/{chunks}" if factor == 1 else f"req-x{factor:g}/{chars}/{chunks}",
                *("-chars", str(chars), "-chunks", str(chunks), "-rate", str(rate * factor)),
                *("-gap-ms", "5" if chunks else "0", "-baseline", "3"),
                *("-warm", "8" if chunks < 1000 else "2"),
                *("-distinct", "16" if chars >= LARGE else "64"),
                seconds=2 * bench.settings.seconds,
            )


def closed_loop(bench: Bench) -> None:
    """Saturated: chunks back to back, as many requests as the picker manages."""
    bench.start_servers(10)
    for chars in bench.settings.chars:
        for chunks in bench.settings.chunks:
            if chunks > 100:  # seconds a request: nothing to learn that 100 do not tell
                continue
            full_saturated(bench, chars, chunks)


def full_saturated(bench: Bench, chars: int, chunks: int) -> None:
    bench.start_picker()
    bench.drive(
        f"max/{chars}/{chunks}",
        *("-chars", str(chars), "-chunks", str(chunks), "-warm", "8"),
        *("-c", "8" if chars >= LARGE else "32"),
        *("-distinct", "16" if chars >= LARGE else "64"),
    )


def light(bench: Bench) -> None:
    """Saturated, short prompt, as our own Envoy configuration asks."""
    bench.start_servers(10)
    light_saturated(bench)


def light_saturated(bench: Bench) -> None:
    bench.start_picker()
    bench.drive("light/900/0", *LIGHT, *("-chars", "900", "-c", "32", "-warm", "8"))


def decision(bench: Bench) -> None:
    """Time to a pick at parts of the capacity, which is measured first unless it was already."""
    bench.start_servers(10)
    if "max/900/0" not in bench.rates:
        full_saturated(bench, 900, 0)
    if "light/900/0" not in bench.rates:
        light_saturated(bench)
    for mode, cell, flags in (("full", "max/900/0", ()), ("light", "light/900/0", LIGHT)):
        capacity = bench.rates.get(cell)
        if not capacity:  # its row says why
            continue
        for percent in PARTS_OF_CAPACITY:
            bench.start_picker()
            bench.drive(
                f"decision/{mode}/{percent}",
                *flags,
                *("-chars", "900", "-rate", f"{capacity * percent / 100:.0f}", "-warm", "100"),
                seconds=2 * bench.settings.seconds,
            )


def idle(bench: Bench) -> None:
    """No requests: what scraping and everything periodic costs; then the pick at 20 requests/s."""
    for size in bench.settings.sizes or IDLE_SIZES:
        bench.start_servers(size)
        pid = bench.start_picker().pid
        assert bench.servers is not None
        time.sleep(2)
        scrapes, used, others = bench.server_scrapes(), cpu_seconds(pid), bench.servers.pid
        used_by_servers, begin = cpu_seconds(others), time.monotonic()
        time.sleep(2 * bench.settings.seconds)
        wall = time.monotonic() - begin
        used = cpu_seconds(pid) - used
        used_by_servers = cpu_seconds(others) - used_by_servers
        scrapes = bench.server_scrapes() - scrapes
        bench.save(
            f"idle/{size}",
            {
                "idle_cores": round(used / wall, 4),
                "scrapes_per_s": round(scrapes / wall, 1),
                "us_per_scrape": round(used * 1e6 / scrapes, 1) if scrapes else None,
                "rss_mib": resident_mib(pid),
                "server_cores": round(used_by_servers / wall, 3),
            },
        )
        bench.drive(f"idle-pick/{size}", *("-rate", "20", "-baseline", "2", "-warm", "5"))


def endpoints(bench: Bench) -> None:
    """Time to a pick and cost of a request by the size of the pool, idle cost subtracted.

    Answers of two events, so that something is learned from first tokens.
    """
    for size in bench.settings.sizes or DECIDING_SIZES:
        bench.start_servers(size)
        bench.start_picker()
        bench.drive(
            f"endpoints/{size}",
            *("-chars", "900", "-chunks", "2", "-gap-ms", "5", "-warm", "200"),
            *("-rate", str(DECIDING_RATE * bench.settings.rate_factor), "-baseline", "3"),
            seconds=3 * bench.settings.seconds,
        )


def overload(bench: Bench) -> None:
    """Twice what few servers of few places can do, by objective; the picker has just started."""
    servers, places, milliseconds = OVERLOADED
    bench.start_servers(servers, ("-slots", str(places)))
    bench.start_picker()
    bench.drive(
        "overload",
        *("-backend", "-sim-ms", str(milliseconds), "-classes", json.dumps(OVERLOADED_CLASSES)),
        *("-rate", f"{2000 * servers * places / milliseconds:.0f}", "-chars", "900"),
        *("-timeout", "90"),
        seconds=4 * bench.settings.seconds,
    )


CELLS: Mapping[str, Callable[[Bench], None]] = {
    "requests": requests,
    "max": closed_loop,
    "light": light,
    "decision": decision,
    "idle": idle,
    "endpoints": endpoints,
    "overload": overload,
}
