"""One request over HTTP, as its client sees it: when it was asked, answered, and what it found."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import orjson

from epp.extproc.headers import DROPPED_REASON
from epp.local.live.prompts import body_of
from epp.simulation.fleet.records import Record
from epp.simulation.workloads.turns import Turn

PATH: Final = "/v1/completions"
SERVED_BY: Final = "x-served-by"
SERVER: Final = "sim-"  # and its number


class NotTheSame(Exception):
    """A server counted other tokens than were asked, so the run says nothing."""


@dataclass(slots=True)
class Client:
    """Fills in records. Their times are seconds since `origin` of the loop's clock."""

    session: aiohttp.ClientSession
    url: str
    origin: float
    answers: dict[int, str] = field(default_factory=dict)  # that others go on from, by key

    def now(self) -> float:
        return asyncio.get_running_loop().time() - self.origin

    async def ask(self, turn: Turn, record: Record) -> None:
        """Raises NotTheSame. What becomes of the request otherwise is in the record."""
        try:
            async with self.session.post(
                self.url + PATH, data=body_of(turn, self.answers), headers=_headers(turn)
            ) as answer:
                if answer.status != 200:
                    record.refusal = answer.headers.get(DROPPED_REASON, f"status {answer.status}")
                    return
                record.server = int(answer.headers[SERVED_BY].removeprefix(SERVER))
                pieces: list[bytes] = []
                async for piece in answer.content.iter_any():
                    if not pieces:
                        record.first_token_at = self.now()
                    pieces.append(piece)
        except aiohttp.ClientError:
            record.lost = True
            return
        record.ended_at = self.now()
        self._read(turn, record, _documents(b"".join(pieces)))

    def _read(self, turn: Turn, record: Record, documents: Sequence[dict[str, Any]]) -> None:
        usage = next((d["usage"] for d in reversed(documents) if d.get("usage")), None)
        if usage is None:  # the server stopped
            record.lost = True
            return
        counted = usage["prompt_tokens"], usage["completion_tokens"]
        asked = record.prompt_tokens, record.output_tokens
        if counted != asked:
            raise NotTheSame(f"asked for {asked} tokens of prompt and answer, served {counted}")
        record.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        if turn.answer:
            words = (c["text"] for d in documents for c in d["choices"])
            self.answers[turn.answer] = "".join(words)


def _headers(turn: Turn) -> dict[str, str]:
    named = {
        "x-llm-d-inference-objective": turn.objective,
        "x-llm-d-inference-fairness-id": turn.flow,
        "x-session-id": turn.session,
    }
    found = {name: value for name, value in named.items() if value}
    return {"content-type": "application/json", **found}


def _documents(stream: bytes) -> list[dict[str, Any]]:
    """Of server-sent events; a last one that was cut off does not count."""
    events = stream.split(b"\n\n")[:-1]
    data = (event.removeprefix(b"data: ") for event in events)
    return [orjson.loads(text) for text in data if text != b"[DONE]"]
