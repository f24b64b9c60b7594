"""A real picker process for one test, and a whole stack around it: servers, picker, Envoy."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.request import urlopen

import openai
import yaml

from epp.envoyconfig.bootstrap import bootstrap
from epp.envoyconfig.settings import EnvoySettings, Mode
from epp.simulation.server import SimulatedServer
from epp.simulation.settings import ServerSettings
from tests.helpers.envoy import RunningEnvoy

START_SECONDS = 20.0
TRANSPORT_VARIABLE = "EPP_TEST_TRANSPORT"
DEFAULT_PLUGINS: list[dict[str, object]] = [
    {"type": "queue-scorer"},
    {"type": "kv-cache-utilization-scorer"},
    {"type": "prefix-cache-scorer"},
]


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class EppProcess:
    """`epp` as a user starts it, on loopback, with a configuration of its own."""

    def __init__(
        self,
        folder: Path,
        document: Mapping[str, object] | None = None,
        *,
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """The folder goes when the process is stopped; `environment` is added to ours."""
        self.folder = folder
        self.grpc_port, self.health_port, self.metrics_port = free_ports(3)
        transport = os.environ.get(TRANSPORT_VARIABLE)  # a suite that runs on several sets it
        self._flags = [*(["--transport", transport] if transport else []), *flags]
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        config: dict[str, object] = {
            "apiVersion": "llm-d.ai/v1alpha1",
            "kind": "EndpointPickerConfig",
            "plugins": list(DEFAULT_PLUGINS),
            **(document or {}),
        }
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config))

    def start(self) -> None:
        command = [
            *(sys.executable, "-m", "epp", "--host", "127.0.0.1", "--secure-serving=false"),
            *("--config-file", str(self.folder / "config.yaml")),
            *("--grpc-port", str(self.grpc_port), "--grpc-health-port", str(self.health_port)),
            *("--metrics-port", str(self.metrics_port), *self._flags),
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.grpc_port), 1.0).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the picker did not start:\n{self.log()}") from None
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(0.02)
                continue
            return

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float = 15.0) -> int:
        assert self._process is not None
        return self._process.wait(seconds)

    def kill(self) -> None:
        """As the kernel does it: no drain, no goodbye."""
        self.signal(signal.SIGKILL)
        self.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGINT)
            try:
                self.wait(5.0)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def request_lines(self) -> list[dict[str, object]]:
        lines = (json.loads(line) for line in self.log().splitlines() if line.startswith("{"))
        return [line for line in lines if line.get("msg") == "request"]

    def metrics(self) -> dict[str, float]:
        """Every series by its name with labels, as on the page."""
        with urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as page:
            text: str = page.read().decode()
        rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in rows}

    def metric(self, family: str, **labels: str) -> float:
        """The sum over the series of a family whose labels include these."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            value
            for series, value in self.metrics().items()
            if series.partition("{")[0] == family and all(part in series for part in wanted)
        )


class PickerProcess(EppProcess):
    """With its endpoints from a file."""

    def __init__(
        self,
        servers: Sequence[str],
        *,
        document: Mapping[str, object] | None = None,
        flags: Sequence[str] = (),
        roles: Sequence[str] = (),
    ) -> None:
        """`roles` are those of the servers, in order, where they have some."""
        folder = new_folder()
        self._roles = roles
        self.endpoints_file = folder / "endpoints.yaml"
        self.write_endpoints(servers)
        discovery = {"path": str(self.endpoints_file), "watchFile": True}
        given = dict(document or {})
        given["plugins"] = [
            *given.get("plugins", DEFAULT_PLUGINS),  # type: ignore[misc]
            {"type": "file-discovery", "name": "endpoints", "parameters": discovery},
        ]
        given["dataLayer"] = {"discovery": {"pluginRef": "endpoints"}}
        super().__init__(folder, given, flags=["--pool-name", "pool", *flags])

    def write_endpoints(self, servers: Sequence[str]) -> None:
        entries: list[dict[str, object]] = []
        for index, server in enumerate(servers):
            host, _, port = server.rpartition(":")
            entries.append({"name": f"s{index}", "address": host.strip("[]"), "port": port})
            if self._roles:
                entries[-1]["labels"] = {"llm-d.ai/role": self._roles[index]}
        fresh = self.endpoints_file.with_suffix(".new")
        fresh.write_text(yaml.safe_dump({"endpoints": entries}))
        fresh.rename(self.endpoints_file)


def new_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="picker-"))


@contextmanager
def running_picker(
    servers: Sequence[str],
    *,
    document: Mapping[str, object] | None = None,
    flags: Sequence[str] = (),
    roles: Sequence[str] = (),
) -> Iterator[PickerProcess]:
    picker = PickerProcess(servers, document=document, flags=flags, roles=roles)
    try:
        picker.start()
        yield picker
    finally:
        picker.stop()


@dataclass
class Stack:
    servers: list[SimulatedServer]
    picker: PickerProcess
    envoy: RunningEnvoy
    mode: Mode
    addresses: list[str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def client(self, **options: object) -> openai.AsyncOpenAI:
        settings = {"api_key": "none", "max_retries": 0, "timeout": 60.0, **options}
        return openai.AsyncOpenAI(base_url=f"{self.envoy.url}/v1", **settings)  # type: ignore[arg-type]

    def server_at(self, address: str) -> SimulatedServer:
        return self.servers[self.addresses.index(address)]


SERVER = ServerSettings(models=("sim",), max_num_seqs=64)


@asynccontextmanager
async def running_stack(
    mode: Mode = Mode.LIGHT,
    *,
    count: int = 2,
    server: ServerSettings = SERVER,
    separate: bool = False,  # each server a process of its own, with default settings
    document: Mapping[str, object] | None = None,
    flags: Sequence[str] = (),
    roles: Sequence[str] = (),  # of the servers, in order
    **envoy: object,
) -> AsyncIterator[Stack]:
    """Simulated servers in this process, or in theirs; the picker and Envoy always in theirs."""
    servers: list[SimulatedServer] = []
    processes: list[subprocess.Popen[bytes]] = []
    try:
        if separate:
            ports = free_ports(count)
            processes += [_server_process(port) for port in ports]
            for port in ports:
                await _listens(port)
            addresses = [f"127.0.0.1:{port}" for port in ports]
        else:
            for n in range(count):
                servers.append(SimulatedServer(replace(server, name=f"sim-{n}", seed=n)))
                await servers[-1].start()
            addresses = [f"127.0.0.1:{one.port}" for one in servers]
        with running_picker(addresses, document=document, flags=flags, roles=roles) as picker:
            settings = EnvoySettings(
                listen_port=0,
                admin_port=0,
                picker_port=picker.grpc_port,
                model_servers=tuple(addresses),
                mode=mode,
                **envoy,  # type: ignore[arg-type]
            )
            with RunningEnvoy(bootstrap(settings)) as running:
                yield Stack(servers, picker, running, mode, addresses, processes)
    finally:
        for one in servers:
            await one.stop()
        for process in processes:
            process.kill()
            process.wait()


def _server_process(port: int) -> subprocess.Popen[bytes]:
    """A simulated server that can be killed as a machine dies."""
    return subprocess.Popen(
        [sys.executable, "-m", "epp", "simulate", "--port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def _listens(port: int) -> None:
    for _ in range(round(START_SECONDS / 0.05)):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise RuntimeError(f"the simulated server does not listen on {port}")


def rss_kib(pid: int, line_name: str = "VmRSS:") -> int:
    """Resident now; VmHWM is the most so far."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(line_name))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
