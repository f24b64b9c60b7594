"""The client asks a real simulated server; nothing is between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from epp.local.live.client import Client, NotTheSame
from epp.simulation.fleet.records import Record
from epp.simulation.fleet.segments import Segment
from epp.simulation.server import SimulatedServer
from epp.simulation.settings import ServerSettings
from epp.simulation.workloads.turns import Turn

TURN = Turn((Segment(1, 200), Segment(2, 20)), 5, answer=3)


@asynccontextmanager
async def a_client(**settings: object) -> AsyncIterator[tuple[Client, SimulatedServer]]:
    wanted = ServerSettings(name="sim-2", models=("base",), prompt_tokens_details=True, **settings)  # type: ignore[arg-type]
    async with SimulatedServer(wanted) as server, aiohttp.ClientSession() as session:
        yield Client(session, server.url, asyncio.get_running_loop().time()), server


def a_record(turn: Turn = TURN) -> Record:
    return Record(0.0, sum(segment.tokens for segment in turn.segments), turn.output_tokens)


async def test_what_became_of_a_request() -> None:
    async with a_client() as (client, _):
        first, second = a_record(), a_record()
        await client.ask(TURN, first)
        await client.ask(TURN, second)
    assert first.served
    assert first.server == 2
    assert 0.0 < first.first_token_at < first.ended_at
    assert (first.cached_tokens, second.cached_tokens) == (0, 208)  # whole blocks, not the last


async def test_the_next_turn_finds_the_answer_cached() -> None:
    longer = Turn((*TURN.segments, Segment(3, 5), Segment(4, 30)), 5)
    async with a_client() as (client, _):
        await client.ask(TURN, a_record())
        record = a_record(longer)
        await client.ask(longer, record)
    assert len(client.answers[3]) == 20
    assert record.cached_tokens == 224  # 14 blocks: of prompt and answer, 225 tokens


async def test_other_tokens_than_asked_for_are_not_the_same_request() -> None:
    async with a_client() as (client, _):
        with pytest.raises(NotTheSame, match=r"asked for \(9, 5\)"):
            await client.ask(TURN, Record(0.0, 9, 5))


async def test_a_refusal_is_told_by_its_reason() -> None:
    async with a_client(max_model_len_tokens=100) as (client, _):
        record = a_record()
        await client.ask(TURN, record)
    assert record.refusal == "status 400"
    assert not record.served


async def test_a_server_that_is_gone_loses_the_request() -> None:
    async with a_client() as (client, server):
        await server.stop()
        record = a_record()
        await client.ask(TURN, record)
    assert record.lost
    assert not record.served
