"""A cell of the laboratory in real time: simulated servers, picker and Envoy as processes."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from epp.config.build import read_configuration
from epp.envoyconfig.settings import Mode
from epp.local.live import processors
from epp.local.live.client import Client
from epp.local.processes import Child
from epp.local.stack import HOST, StackSettings, start_stack
from epp.simulation.fleet.clients import Ask, Clients
from epp.simulation.fleet.outcome import Outcome, outcome_of
from epp.simulation.fleet.prompts import BASE_MODEL
from epp.simulation.fleet.records import Record, RunRecords, ServerUse
from epp.simulation.fleet.run import ASK_AGAIN_SECONDS
from epp.simulation.fleet.settings import RunSettings
from epp.simulation.laboratory.cell import Cell, objectives_of, prepared
from epp.simulation.workloads.turns import Turn

# Of an outcome: what a client can see. What engines did inside is not told over HTTP.
SEEN: Final = (
    *("requests", "good_share", "served_share", "refused_share"),
    *("ttft_p50", "ttft_p90", "ttft_mean", "tpot_p50", "seconds_mean", "hit_rate", "imbalance"),
)
OURSELVES: Final = "clients"  # this process, in the use of the processors
SINGLE_THREADED: Final = frozenset({OURSELVES, "model-servers", "picker"})


@dataclass(frozen=True, slots=True)
class LiveRun:
    """What became of one run."""

    outcome: Outcome  # only the figures in SEEN are measured
    use: processors.Use  # while requests were measured
    latest_seconds: float  # that a request was sent after its time

    @property
    def saturated(self) -> str:
        """What was at its limit, so that the run says nothing; empty if nothing was."""
        return self.use.saturated(SINGLE_THREADED)


async def run_live(cell: Cell, folder: Path, starting: asyncio.Lock) -> LiveRun:
    """Takes as long as the cell says, in real time; starts and ends all processes that it needs.

    Where the cell does not see tokens, Envoy is in light mode. The interval of scrapes is the
    picker's own. `folder` is for files and logs. `starting` is held until everything listens, so
    that runs at the same time do not take each other's ports.

    Raises what `simulate` raises, ValueError for what these servers cannot do, CannotStart, and in
    a group ChildFailed and NotTheSame.
    """
    settings, clients = prepared(cell)
    _check(cell, settings)
    async with AsyncExitStack() as opened:
        async with starting:
            wanted = _stack(cell, settings, _free_port())
            stack = await start_stack(wanted, folder, opened, _silent)
        session = await opened.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
            )
        )
        origin = asyncio.get_running_loop().time()
        load = _Load(settings, clients, Client(session, stack.url, origin))
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(stack.failed())
            measuring = group.create_task(_use(settings, origin, stack.children))
            await load.run()
            use = await measuring
            watching.cancel()
    servers = len(settings.fleet.profiles)
    load.records.servers = [ServerUse() for _ in range(servers)]
    return LiveRun(outcome_of(load.records, objectives_of(cell), servers), use, load.latest_seconds)


class _Load:
    """Clients in real time, as FleetRun has them in virtual time."""

    def __init__(self, settings: RunSettings, clients: Clients, client: Client) -> None:
        start = settings.warmup_seconds
        self.records = RunRecords((start, start + settings.window_seconds))
        self.latest_seconds = 0.0
        self._limit = self.records.window[1] + settings.drain_seconds
        self._clients = clients
        self._client = client

    async def run(self) -> None:
        """Until all requests have ended, or the time for that is over."""
        try:
            async with asyncio.timeout_at(self._client.origin + self._limit):
                async with asyncio.TaskGroup() as group:
                    ask = self._clients.next_start()
                    while ask is not None and ask[0] < self.records.window[1]:
                        await self._until(ask[0])
                        group.create_task(self._session(ask))
                        ask = self._clients.next_start()
        except TimeoutError:
            pass  # who has no answer by now is not served
        self.records.ended_at = self._client.now()

    async def _session(self, ask: Ask) -> None:
        following: Ask | None = ask
        while following is not None and following[0] < self.records.window[1]:
            following = await self._turn(*following)

    async def _turn(self, at: float, turn: Turn, session: Iterator[Turn]) -> Ask | None:
        await self._until(at)
        prompt_tokens = sum(segment.tokens for segment in turn.segments)
        record = Record(at, prompt_tokens, turn.output_tokens, turn.objective, turn.flow)
        if at >= self.records.window[0]:
            self.records.requests.append(record)
            self.latest_seconds = max(self.latest_seconds, self._client.now() - at)
        await self._client.ask(turn, record)
        now = self._client.now()
        return self._clients.after(session, now if record.served else now + ASK_AGAIN_SECONDS)

    async def _until(self, at: float) -> None:
        wait = at - self._client.now()
        if wait > 0:
            await asyncio.sleep(wait)


def _check(cell: Cell, settings: RunSettings) -> None:
    if len(set(settings.fleet.profiles)) > 1:
        raise ValueError(f"fleet {cell.fleet!r}: live servers are all of one profile")
    if cell.faults:
        raise ValueError("faults happen in virtual time only")
    if settings.fleet.adapter_first_load_seconds != settings.fleet.adapter_load_seconds:
        raise ValueError(f"workload {cell.workload!r}: live servers load no adapters")


def _stack(cell: Cell, settings: RunSettings, port: int) -> StackSettings:
    fleet = settings.fleet
    return StackSettings(
        port=port,
        mode=Mode.FULL if cell.sees_tokens else Mode.LIGHT,
        simulated=len(fleet.profiles),
        simulate_flags=(
            *("--profile", fleet.profiles[0], "--model", BASE_MODEL),
            *("--max-num-seqs", str(fleet.max_num_seqs), "--enable-prompt-tokens-details"),
        ),
        document=read_configuration(cell.policy or None).document,
    )


async def _use(settings: RunSettings, origin: float, children: list[Child]) -> processors.Use:
    """Of the processors while requests are measured."""
    processes = {OURSELVES: os.getpid(), **{child.name: child.process.pid for child in children}}
    loop = asyncio.get_running_loop()
    await asyncio.sleep(origin + settings.warmup_seconds - loop.time())
    before = processors.read(processes)
    end = origin + settings.warmup_seconds + settings.window_seconds
    await asyncio.sleep(end - loop.time())
    return processors.between(before, processors.read(processes))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _silent(_line: str) -> None:
    pass
