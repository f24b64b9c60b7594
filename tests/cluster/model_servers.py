"""Simulated model servers as Pods are: each has an address of its own, all have the same ports."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from types import TracebackType
from typing import Self

import aiohttp

from epp.core.endpoint import authority
from epp.simulation.server import SimulatedServer
from epp.simulation.settings import ServerSettings
from tests.helpers.process import free_ports

SETTINGS = ServerSettings(models=("sim",), max_num_seqs=64)

IDLE_SECONDS, IDLE_LOOKS = 0.3, 6

_serial = count(1)  # no two of a session share an address


@dataclass(frozen=True, slots=True)
class ModelServer:
    """What runs in one Pod: a server on each of its ports."""

    address: str
    ranks: tuple[SimulatedServer, ...]

    @property
    def authorities(self) -> list[str]:
        return [authority(self.address, rank.port) for rank in self.ranks]

    async def idle(self) -> bool:
        """Whether nothing runs or waits, now and for a moment longer."""
        for _ in range(IDLE_LOOKS):
            for rank in self.ranks:
                async with (
                    aiohttp.ClientSession() as session,
                    session.get(f"{rank.url}/sim/stats") as answer,
                ):
                    if (await answer.json())["live"]:
                        return False
            await asyncio.sleep(IDLE_SECONDS / IDLE_LOOKS)
        return True

    async def stop(self) -> None:
        """Answers that still run are cut off."""
        for rank in self.ranks:
            await rank.stop()


class ModelServers:
    """Those of one test. They answer with their authority in `x-served-by`."""

    def __init__(self, *, ports: int = 1, settings: ServerSettings = SETTINGS) -> None:
        """`ports` is how many each server has."""
        self.settings = settings
        self.ports = free_ports(ports)
        self.all: list[ModelServer] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self.all:
            await server.stop()

    @property
    def authorities(self) -> list[str]:
        return [one for server in self.all for one in server.authorities]

    async def start(self, number: int) -> list[ModelServer]:
        return [await self.start_at(new_address()) for _ in range(number)]

    async def start_at(self, address: str, ports: Sequence[int] = ()) -> ModelServer:
        """At an address of one's own choice, on some of the ports or on all."""
        ranks = []
        for port in ports or self.ports:
            name = authority(address, port)
            settings = replace(self.settings, name=name, host=address, port=port)
            ranks.append(SimulatedServer(settings))
            await ranks[-1].start()
        self.all.append(ModelServer(address, tuple(ranks)))
        return self.all[-1]


def new_address() -> str:
    """A loopback address that nobody else in this session is given, and hardly another session."""
    number = next(_serial)
    return f"127.{64 + os.getpid() % 128}.{number // 250}.{number % 250 + 1}"
