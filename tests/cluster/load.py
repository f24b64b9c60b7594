"""Users who ask a gateway one thing after the other, and all that came of it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from tests.cluster.waiting import eventually

TIMEOUT_SECONDS = 60.0
PAUSE_SECONDS = 0.1  # after a failure, as there would be thousands
DONE = b"data: [DONE]"


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` 0 is an answer that did not come, or not to its end."""

    asked_at: float  # on the monotonic clock
    status: int
    served_by: str = ""
    text: str = ""  # of what went wrong


@dataclass(slots=True)
class Load:
    """Answers as they come in. Leaving `running_load` waits for the ones that are under way."""

    answers: list[Answer] = field(default_factory=list)

    @property
    def ok(self) -> int:
        return sum(answer.status == 200 for answer in self.answers)

    @property
    def failures(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != 200]

    async def goes_on(self, answers: int = 20) -> None:
        """Waits for so many more good ones."""
        wanted = self.ok + answers
        await eventually(f"{answers} more answers", lambda: self.ok >= wanted)

    async def is_served_by(self, *authorities: str) -> None:
        """Waits until each of these has answered what is asked from now on, and no other has."""
        moment, wanted = time.monotonic(), set(authorities)
        await eventually(
            f"answers of {sorted(wanted)}", lambda: wanted <= set(self.served_since(moment))
        )
        assert set(self.served_since(moment)) == wanted

    def served_since(self, moment: float) -> Counter[str]:
        """Answers by server, of what was asked at this time or later."""
        return Counter(
            answer.served_by
            for answer in self.answers
            if answer.status == 200 and answer.asked_at >= moment
        )


@asynccontextmanager
async def running_load(
    url: str, *, users: int = 6, model: str = "sim", tokens: int = 5, stream: bool = False
) -> AsyncIterator[Load]:
    """`tokens` are those of each answer."""
    load = Load()
    stop = asyncio.Event()

    async def user(session: aiohttp.ClientSession, number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            prompt = f"{turn}, said user {number}"
            answer = await ask(session, url, prompt, model=model, tokens=tokens, stream=stream)
            load.answers.append(answer)
            if answer.status != 200:
                await asyncio.sleep(PAUSE_SECONDS)

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for number in range(users):
            group.create_task(user(session, number))
        try:
            yield load
        finally:
            stop.set()


async def ask(
    session: aiohttp.ClientSession,
    url: str,
    prompt: str,
    *,
    model: str = "sim",
    tokens: int = 5,
    stream: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One chat completion through a gateway."""
    body = {
        "model": model,
        "max_tokens": tokens,
        "stream": stream,
        "messages": [{"role": "user", "content": prompt}],
    }
    begin = time.monotonic()
    path, timeout = f"{url}/v1/chat/completions", aiohttp.ClientTimeout(TIMEOUT_SECONDS)
    try:
        async with session.post(path, json=body, headers=headers, timeout=timeout) as answer:
            data = await answer.read()
    except (TimeoutError, aiohttp.ClientError) as error:
        return Answer(begin, 0, text=repr(error))
    served_by = answer.headers.get("x-served-by", "")
    if answer.status == 200 and stream and DONE not in data:
        return Answer(begin, 0, served_by, f"a stream without its end: {data[-200:]!r}")
    text = "" if answer.status == 200 else data[:500].decode(errors="replace")
    return Answer(begin, answer.status, served_by, text)
