"""Simulated requests as bodies of HTTP: texts that are equal where the segments are equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

from epp.simulation.fleet.prompts import BASE_MODEL
from epp.simulation.fleet.segments import Segment
from epp.simulation.tokens import TOKEN_BYTES
from epp.simulation.workloads.turns import Turn

_SPREAD: Final = 0x9E3779B97F4A7C15  # odd: different keys give different words
_WORD_BYTES: Final = 16


def body_of(turn: Turn, answers: Mapping[int, str]) -> bytes:
    """A streamed completion of just so many tokens. `answers` are texts of servers, by key."""
    prompt = "".join([answers.get(segment.key) or text_of(segment) for segment in turn.segments])
    return orjson.dumps(
        {
            "model": turn.model or BASE_MODEL,
            "prompt": prompt,
            "max_tokens": turn.output_tokens,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )


def text_of(segment: Segment) -> str:
    """One word again and again, of as many tokens for a simulated server as the segment has."""
    size = segment.tokens * TOKEN_BYTES
    word = f"{segment.key * _SPREAD & 0xFFFF_FFFF_FFFF_FFFF:0{_WORD_BYTES}x}"
    return (word * (size // _WORD_BYTES + 1))[:size]
