"""A real picker process for one test, and a whole stack around it: servers, picker, Envoy."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import openai
import yaml

from epp.envoyconfig.bootstrap import bootstrap
from epp.envoyconfig.settings import EnvoySettings, Mode
from epp.simulation.server import SimulatedServer
from epp.simulation.settings import ServerSettings
from tests.helpers.envoy import RunningEnvoy, put_first
from tests.helpers.process import START_SECONDS, ServerProcess, free_ports, new_folder

TRANSPORT_VARIABLE = "EPP_TEST_TRANSPORT"
DEFAULT_PLUGINS: list[dict[str, object]] = [
    {"type": "queue-scorer"},
    {"type": "kv-cache-utilization-scorer"},
    {"type": "prefix-cache-scorer"},
]


class EppProcess(ServerProcess):
    """The picker, with a configuration of its own."""

    def __init__(
        self,
        folder: Path,
        document: Mapping[str, object] | None = None,
        *,
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        transport = os.environ.get(TRANSPORT_VARIABLE)  # a suite that runs on several sets it
        config_file = folder / "config.yaml"
        given = [
            *("--config-file", str(config_file)),
            *(["--transport", transport] if transport else []),
            *flags,
        ]
        super().__init__("the picker", folder, flags=given, environment=environment)
        config: dict[str, object] = {
            "apiVersion": "llm-d.ai/v1alpha1",
            "kind": "EndpointPickerConfig",
            "plugins": list(DEFAULT_PLUGINS),
            **(document or {}),
        }
        config_file.write_text(yaml.safe_dump(config))

    def request_lines(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line.get("msg") == "request"]


class PickerProcess(EppProcess):
    """With its endpoints from a file."""

    def __init__(
        self,
        servers: Sequence[str],
        *,
        document: Mapping[str, object] | None = None,
        flags: Sequence[str] = (),
        roles: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`roles` are those of the servers, in order, where they have some."""
        folder = new_folder("picker-")
        self.servers = tuple(servers)  # at the start
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
        flags = ["--pool-name", "pool", *flags]
        super().__init__(folder, given, flags=flags, environment=environment)

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


@contextmanager
def running_picker(
    servers: Sequence[str],
    *,
    document: Mapping[str, object] | None = None,
    flags: Sequence[str] = (),
    roles: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[PickerProcess]:
    picker = PickerProcess(
        servers, document=document, flags=flags, roles=roles, environment=environment
    )
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
    environment: Mapping[str, str] | None = None,  # of the picker, added to ours
    first_filter: Mapping[str, object] | None = None,  # of Envoy, before all others
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
        with running_picker(
            addresses, document=document, flags=flags, roles=roles, environment=environment
        ) as picker:
            settings = EnvoySettings(
                listen_port=0,
                admin_port=0,
                picker_port=picker.grpc_port,
                model_servers=tuple(addresses),
                mode=mode,
                **envoy,  # type: ignore[arg-type]
            )
            configuration = bootstrap(settings)
            if first_filter is not None:
                put_first(configuration, first_filter)
            with RunningEnvoy(configuration) as running:
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
