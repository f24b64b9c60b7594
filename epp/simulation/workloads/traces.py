"""Recorded requests from files in the formats that others publish: Mooncake, Azure, BurstGPT."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, TextIO, get_args

import orjson

from epp.simulation.fleet.segments import Segment
from epp.simulation.workloads.turns import Texts, Turn

Format = Literal["mooncake", "azure", "burstgpt"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
MOONCAKE_BLOCK_TOKENS: Final = 512
MOST_TOKENS: Final = 10_000_000  # the longest contexts that models claim


class TraceError(Exception):
    """A file that is no trace; the message names file and line."""


@dataclass(frozen=True, slots=True)
class TraceFile:
    """What of a trace is replayed, and how fast."""

    path: str
    format: Format | None = None  # None: by its first line
    speedup: float = 1.0  # 2 asks twice as often
    seconds: float = math.inf  # of the replay, from its start on

    def __post_init__(self) -> None:
        if not self.speedup > 0 or not self.seconds > 0:
            raise ValueError(f"speed-up and seconds of a trace must be above 0: {self}")


@dataclass(frozen=True, slots=True)
class TracedRequest:
    at_seconds: float  # from the start of the replay
    turn: Turn


@dataclass(frozen=True, slots=True)
class _Row:
    """One request as a file has it."""

    at: float  # seconds since any moment, the same for all of a file
    prompt_tokens: int
    output_tokens: int
    blocks: tuple[int, ...] = ()  # ids of shared blocks of its prompt


def read_trace(trace: TraceFile) -> list[TracedRequest]:
    """In order of time, the first at 0. Raises TraceError, also for a trace without requests.

    Requests that got no token for an answer, as failed ones have it, are left out.
    """
    try:
        with Path(trace.path).open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in _rows(trace, file) if row.prompt_tokens and row.output_tokens]
    except (OSError, UnicodeDecodeError) as error:
        raise TraceError(f"{trace.path}: {error}") from None
    if not rows:
        raise TraceError(f"{trace.path}: holds no request with a prompt and an answer")
    rows.sort(key=lambda row: row.at)
    texts, shared = Texts(), dict[tuple[int, int], Segment]()
    requests: list[TracedRequest] = []
    for row in rows:
        at = (row.at - rows[0].at) / trace.speedup
        if at >= trace.seconds:
            break
        requests.append(TracedRequest(at, Turn(_segments(row, texts, shared), row.output_tokens)))
    return requests


def _segments(
    row: _Row, texts: Texts, shared: dict[tuple[int, int], Segment]
) -> tuple[Segment, ...]:
    """Equal blocks are equal texts; what no block names is new."""
    segments: list[Segment] = []
    left = row.prompt_tokens
    for block in row.blocks:
        tokens = min(left, MOONCAKE_BLOCK_TOKENS)
        segment = shared.get((block, tokens))
        if segment is None:
            segment = shared[block, tokens] = texts.new(tokens)
        segments.append(segment)
        left -= tokens
    if left:
        segments.append(texts.new(left))
    return tuple(segments)


def _rows(trace: TraceFile, file: TextIO) -> Iterator[_Row]:
    """Every row, or TraceError with the number of its line."""
    first = file.readline()
    file.seek(0)
    known = trace.format or _format_of(first)
    if known is None:
        names = ", ".join(FORMATS)
        raise TraceError(f"{trace.path}:1: is the beginning of none of {names}")
    if known == "mooncake":
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _read(trace, number, known, line)
        return
    reader = csv.DictReader(file)
    for row in reader:
        yield _read(trace, reader.line_num, known, row)


def _format_of(first: str) -> Format | None:
    if first.lstrip().startswith("{"):
        return "mooncake"
    names = {name.strip() for name in first.split(",")}
    if "ContextTokens" in names:
        return "azure"
    return "burstgpt" if "Request tokens" in names else None


def _read(trace: TraceFile, line: int, known: Format, row: Any) -> _Row:
    try:
        match known:
            case "mooncake":
                return _mooncake(orjson.loads(row))
            case "azure":
                at = datetime.fromisoformat(row["TIMESTAMP"]).timestamp()
                return _row(at, row["ContextTokens"], row["GeneratedTokens"])
            case "burstgpt":
                at = float(row["Timestamp"])
                return _row(at, row["Request tokens"], row["Response tokens"])
    except KeyError as error:
        raise TraceError(f"{trace.path}:{line}: has no {error} ({known})") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise TraceError(f"{trace.path}:{line}: {error} ({known})") from None


def _mooncake(found: Mapping[str, Any]) -> _Row:
    """Milliseconds, and an id for every block of 512 tokens, which stands for all before it too."""
    row = _row(
        float(found["timestamp"]) / 1000,
        found["input_length"],
        found["output_length"],
        tuple(map(int, found.get("hash_ids", ()))),
    )
    if len(row.blocks) > -(-row.prompt_tokens // MOONCAKE_BLOCK_TOKENS):
        raise ValueError(f"{len(row.blocks)} hash_ids for {row.prompt_tokens} tokens")
    return row


def _row(at: float, prompt_tokens: Any, output_tokens: Any, blocks: tuple[int, ...] = ()) -> _Row:
    row = _Row(at, int(prompt_tokens), int(output_tokens), blocks)
    if max(row.prompt_tokens, row.output_tokens) > MOST_TOKENS:
        raise ValueError(f"a prompt or an answer of more than {MOST_TOKENS} tokens")
    if not math.isfinite(row.at) or row.prompt_tokens < 0 or row.output_tokens < 0:
        raise ValueError("a time that is no number, or tokens below 0")
    return row
