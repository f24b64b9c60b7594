"""Very many streamed answers through a real Envoy at once, and all that could have gone wrong.

Clients and model servers are the Go programs of the benchmark: Python would be the limit.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from epp.envoyconfig.bootstrap import bootstrap
from epp.envoyconfig.settings import EnvoySettings, Mode
from tests.helpers.envoy import RunningEnvoy
from tests.helpers.picker import PickerProcess, rss_kib, running_picker
from tests.helpers.process import START_SECONDS

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "tests/benchmarks/extproc"
BINARIES = ROOT / "build/bin"
PAGE = ROOT / "tests/fixtures/vllm-0.32/metrics-plain.txt"
PROGRAMS = ("flood", "simpool")

# One address for each server: a pair of addresses has only some 28 000 ports.
FIRST_SERVER = "127.1.0.1"
PLACES = 100_000  # of a server: it is the picker that is asked for much, not the scheduling
POLL_SECONDS = 0.1
STALL_SECONDS = 20.0  # without any answer beginning
SETTLE_SECONDS = 20.0
SPARE_FILES = 1000  # descriptors beyond those of the answers
GOLANG = shutil.which("go")

IN_FLIGHT = "llm_d_epp_endpoint_inflight_requests"
RUNNING = "llm_d_epp_request_running"
REQUESTS = "llm_d_epp_request_total"
LOGGED = "llm_d_epp_access_log_entries_total"

EXT_PROC = "http.gateway.ext_proc."
LOST_ENTRIES = "access_logs.grpc_access_log.logs_dropped"
# Counters of Envoy that must not move. A picker that asks for more time is in order, as is closing
# an idle connection to a server.
TROUBLE = re.compile(
    r"^(cluster|http\.gateway|listener\.127)\..*"
    r"(overflow|fail|retry|refused|reject|dropped|flood|error|[45]xx|rx_reset|downstream_rq_tx_reset"
    r"|no_route|no_cluster|none_healthy|spurious|timeout(?!_received)|failure_mode_allowed)"
)
NO_TROUBLE = re.compile(r"upstream_cx_idle_timeout$|circuit_breakers")


@dataclass(frozen=True, slots=True)
class Crowd:
    """Clients that ask for one answer each, which are all open before any of them goes on."""

    mode: Mode
    answers: int
    chunks: int  # of an answer, besides [DONE]
    gap_ms: float  # between them
    ramp_seconds: float = 0.0  # over which the clients come; 0: together
    sharing: int = 0  # clients on one HTTP/2 connection; 0: HTTP/1.1
    servers: int = 10
    workers: int = 2  # threads of Envoy
    held_seconds: float = 0.5  # all open and nothing said, to see what that costs
    limit_seconds: float = 300.0


@dataclass(slots=True)
class Phase:
    """How long it took, and what it used."""

    seconds: float = 0.0
    picker_cpu: float = 0.0  # seconds
    envoy_cpu: float = 0.0
    messages: int = 0  # that Envoy sent to the picker

    def beyond(self, held: Phase) -> float:
        """CPU seconds of the picker without what it spends anyway, on scrapes above all."""
        return self.picker_cpu - held.picker_cpu / (held.seconds or 1.0) * self.seconds


@dataclass(slots=True)
class Facts:
    """What was seen, in three phases: answers begin, are held, and go on to their end."""

    faults: list[str] = field(default_factory=list)
    ok: int = 0
    at_once: int = 0
    headers_ms: Mapping[str, float] = field(default_factory=dict)  # until the client had them
    begin: Phase = field(default_factory=Phase)
    held: Phase = field(default_factory=Phase)
    end: Phase = field(default_factory=Phase)
    lost_entries: int = 0  # of the access log, in light mode
    rss_before: int = 0  # KiB, of the picker
    rss_held: int = 0
    rss_peak: int = 0


def build_programs() -> None:
    """Raises RuntimeError, with what the compiler says, if that does not work."""
    BINARIES.mkdir(parents=True, exist_ok=True)
    command = [str(GOLANG), "build", "-trimpath", "-o", f"{BINARIES}/"]
    done = subprocess.run(
        [*command, *(f"./cmd/{program}" for program in PROGRAMS)],
        cwd=SOURCE,
        env={"CGO_ENABLED": "0", **os.environ},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the Go programs do not build:\n{done.stderr}")


def let_in(crowd: Crowd) -> Facts:
    """Starts everything on loopback, and ends it. Must be called on the main thread."""
    _raise_file_limit(crowd)
    seconds = crowd.limit_seconds + 120
    with (
        running_servers(crowd.servers, hold=True, seconds=seconds) as servers,
        running_picker(servers.addresses) as picker,
    ):
        settings = EnvoySettings(
            listen_port=0,
            admin_port=0,
            picker_port=picker.grpc_port,
            model_servers=tuple(servers.addresses),
            mode=crowd.mode,
        )
        with RunningEnvoy(bootstrap(settings), workers=crowd.workers) as envoy:
            return _Run(crowd, servers, picker, envoy).measure()


class Servers:
    """The simulated servers, and what they say they saw."""

    def __init__(self, count: int, port: int) -> None:
        self.addresses = [f"127.1.{n // 250}.{1 + n % 250}:{port}" for n in range(count)]

    def ask(self, path: str) -> bytes:
        with urlopen(f"http://{self.addresses[0]}{path}", timeout=10) as answer:
            text: bytes = answer.read()
            return text

    def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ask("/sim/stats"))
        return found


class _Run:
    def __init__(
        self, crowd: Crowd, servers: Servers, picker: PickerProcess, envoy: RunningEnvoy
    ) -> None:
        self.crowd = crowd
        self.servers = servers
        self.picker = picker
        self.envoy = envoy
        self.facts = Facts()

    def measure(self) -> Facts:
        facts = self.facts
        facts.rss_before = rss_kib(self.picker.pid)
        with ExitStack() as stack:
            with self._timed(facts.begin):
                clients = stack.enter_context(_flooding(self.crowd, self.envoy.url))
                self._wait_until_all_are_open(clients)
            with self._timed(facts.held):
                time.sleep(self.crowd.held_seconds)  # noqa: TID251
            facts.rss_held = rss_kib(self.picker.pid)
            self._expect("in flight while held", self.picker.metric(IN_FLIGHT), facts.at_once)
            with self._timed(facts.end):
                self.servers.ask("/sim/release")
                self._take_answers(clients)
        self._wait_until_settled()
        facts.rss_peak = rss_kib(self.picker.pid, "VmHWM:")
        self._check_servers()
        self._check_envoy()
        self._check_picker()
        return facts

    @contextmanager
    def _timed(self, phase: Phase) -> Iterator[None]:
        picker, envoy = cpu_seconds(self.picker.pid), cpu_seconds(self.envoy.pid)
        messages, begin = self._messages(), time.monotonic()
        yield
        phase.seconds = time.monotonic() - begin
        phase.picker_cpu = cpu_seconds(self.picker.pid) - picker
        phase.envoy_cpu = cpu_seconds(self.envoy.pid) - envoy
        phase.messages = self._messages() - messages

    def _messages(self) -> int:
        return self.envoy.stats(EXT_PROC)[f"{EXT_PROC}stream_msgs_sent"]

    def _wait_until_all_are_open(self, clients: subprocess.Popen[str]) -> None:
        most, changed = 0, time.monotonic()
        while most < self.crowd.answers and clients.poll() is None:
            time.sleep(POLL_SECONDS)  # noqa: TID251
            held = self.servers.stats()["held"]
            if held > most:
                most, changed = held, time.monotonic()
            elif time.monotonic() > changed + STALL_SECONDS:
                break
        self.facts.at_once = most
        self._expect("answers open at once", most, self.crowd.answers)

    def _take_answers(self, clients: subprocess.Popen[str]) -> None:
        said, _ = clients.communicate(timeout=self.crowd.limit_seconds + 30)
        if clients.returncode:
            self.facts.faults.append(f"the clients ended with {clients.returncode}")
            return
        got = json.loads(said)
        self.facts.ok = got["ok"]
        self.facts.headers_ms = got["headers_ms"] or {}
        self._expect("whole answers", got["ok"], self.crowd.answers)
        self.facts.faults += [f"{count} x {kind}" for kind, count in got["error_kinds"].items()]

    def _wait_until_settled(self) -> None:
        """The ends of the last streams and the access log may still be under way."""
        end = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < end and (self._unsettled() or self._log_is_under_way()):
            time.sleep(POLL_SECONDS)  # noqa: TID251

    def _unsettled(self) -> list[str]:
        """Metrics of the picker that are not yet, or not, what they should be."""
        wanted = {IN_FLIGHT: 0, RUNNING: 0, REQUESTS: self.crowd.answers}
        found = {name: self.picker.metric(name) for name in wanted}
        return [
            f"{name}: {found[name]:g} instead of {wanted[name]}"
            for name in wanted
            if found[name] != wanted[name]
        ]

    def _log_is_under_way(self) -> bool:
        """Envoy drops entries, which cost nobody an answer, where it cannot write for a while."""
        if self.crowd.mode is not Mode.LIGHT:
            return False
        self.facts.lost_entries = self.envoy.stats(LOST_ENTRIES).get(LOST_ENTRIES, 0)
        logged = self.picker.metric(LOGGED, picked_by="us")
        return logged + self.facts.lost_entries < self.crowd.answers

    def _check_servers(self) -> None:
        seen = self.servers.stats()
        self._expect("requests at the servers", seen["posts"], self.crowd.answers)
        self._expect("requests without a pick", seen["unpicked"], 0)
        self._expect("requests not at the server picked first", seen["elsewhere"], 0)

    def _check_envoy(self) -> None:
        stats = self.envoy.stats()
        streams = stats[f"{EXT_PROC}streams_started"]
        self._expect("ext-proc streams", streams, self.crowd.answers)
        self.facts.faults += [
            f"{name}: {count}"
            for name, count in stats.items()
            if count and TROUBLE.search(name) and not NO_TROUBLE.search(name)
        ]

    def _check_picker(self) -> None:
        self.facts.faults += self._unsettled()
        if self._log_is_under_way():
            self.facts.faults.append("the picker did not see the access log of every request")
        for name in ("llm_d_epp_refusals_total", "llm_d_epp_requests_without_pick_total"):
            self._expect(name, self.picker.metric(name), 0)
        log = self.picker.log()
        errors = log.count('"level":"error"') + log.count("Traceback")
        self._expect("errors in the picker's log", errors, 0)

    def _expect(self, what: str, found: float, wanted: float) -> None:
        if found != wanted:
            self.facts.faults.append(f"{what}: {found:g} instead of {wanted:g}")


def cpu_seconds(pid: int) -> float:
    """User and system time of one process, in steps of 10 ms."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    fields = text[text.rindex(")") + 1 :].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _raise_file_limit(crowd: Crowd) -> None:
    """Of this process, so of all that it starts. Raises RuntimeError if it does not suffice."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    needed = crowd.answers + crowd.answers // (crowd.sharing or 1) + SPARE_FILES
    if most < needed:
        raise RuntimeError(f"Envoy needs {needed} file descriptors, and the limit is {most}")


@contextmanager
def running_servers(count: int, *, hold: bool = False, seconds: float = 600.0) -> Iterator[Servers]:
    """They end after so many seconds; `hold` stops answers until they are released."""
    with socket.socket() as probe:
        probe.bind((FIRST_SERVER, 0))
        port = probe.getsockname()[1]
    command = [
        str(BINARIES / "simpool"),
        *("-n", str(count), "-port", str(port), "-page", str(PAGE)),
        *("-slots", str(PLACES), f"-hold={str(hold).lower()}", "-seconds", str(round(seconds))),
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        _wait_for_port(process, port)
        yield Servers(count, port)
    finally:
        process.kill()
        process.wait()


def _wait_for_port(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection((FIRST_SERVER, port), 1.0).close()
        except OSError:
            time.sleep(POLL_SECONDS)  # noqa: TID251
        else:
            return
    raise RuntimeError(f"the simulated servers do not listen on {port}")


@contextmanager
def _flooding(crowd: Crowd, url: str) -> Iterator[subprocess.Popen[str]]:
    command = [
        str(BINARIES / "flood"),
        *("-url", url, "-n", str(crowd.answers), "-tokens", str(crowd.chunks)),
        *("-gap-ms", str(crowd.gap_ms), "-ramp", str(crowd.ramp_seconds)),
        *("-per-conn", str(crowd.sharing), "-seconds", str(crowd.limit_seconds)),
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
