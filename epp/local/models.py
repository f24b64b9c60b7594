"""What model servers are asked once at the start: whether they are there, and what they serve."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

ANSWER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Served:
    """By one model server."""

    model: str = ""  # the first that it names; empty: it names none, as one that wants a key
    problem: str = ""  # why it cannot be reached; empty: it can


async def served_by(servers: Sequence[str]) -> list[Served]:
    """In the order of `servers`, which are `host:port`; all are asked at once."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        return await asyncio.gather(*(_ask(session, server) for server in servers))


async def _ask(session: aiohttp.ClientSession, server: str) -> Served:
    try:
        async with session.get(f"http://{server}/v1/models") as answer:
            body = await answer.read()
    except TimeoutError:
        return Served(problem=f"does not answer within {ANSWER_SECONDS:g} s")
    except aiohttp.ClientConnectorError as error:
        return Served(problem=error.strerror or str(error))
    except aiohttp.ClientError as error:
        return Served(problem=str(error))
    try:
        return Served(str(json.loads(body)["data"][0]["id"]))
    except (ValueError, LookupError, TypeError):
        return Served()
