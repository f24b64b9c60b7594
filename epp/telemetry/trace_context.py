"""W3C trace context and the standard samplers: whose trace a request is in, and who records it.

Pure, and without the OpenTelemetry SDK: most requests are not recorded and must cost next to
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

SAMPLED: Final = 0x01
RANDOM: Final = 0x02  # the trace id is random; says who made it, and is passed on

ALL_IDS: Final = 1 << 64  # a ratio is one of the lower half of trace ids

_TRACEPARENT: Final = re.compile(
    r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class TraceParent:
    """Who called us."""

    trace_id: int
    span_id: int
    flags: int

    @property
    def sampled(self) -> bool:
        return self.flags & SAMPLED != 0


def parse_traceparent(text: str) -> TraceParent | None:
    """None for what is not valid, as if it were not there. Later versions are read as this one."""
    found = _TRACEPARENT.fullmatch(text)
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    trace_id, span_id = int(trace, 16), int(span, 16)
    if not trace_id or not span_id:
        return None
    return TraceParent(trace_id, span_id, int(flags, 16))


@dataclass(frozen=True, slots=True)
class Sampler:
    """Says which traces are recorded, as those of the OpenTelemetry specification do."""

    follows_parent: bool = True  # a trace that somebody began is recorded if he records it
    bound: int = ALL_IDS  # of the lower 64 bits of the trace id, for all others

    def records(self, trace_id: int, parent: TraceParent | None) -> bool:
        if parent is not None and self.follows_parent:
            return parent.sampled
        return trace_id & (ALL_IDS - 1) < self.bound


@dataclass(slots=True)
class TracePart:
    """What is ours of one trace: the span of a request, made when it is over."""

    trace_id: int
    span_id: int
    parent: TraceParent | None  # None: the trace begins here
    recorded: bool
    tracestate: str  # as it came; empty without a parent
    sent: Mapping[str, str]  # headers that the request goes on with
    asked_at: float  # when the director was asked, monotonic seconds


def join_trace(
    headers: Mapping[str, str],
    sampler: Sampler,
    random_bits: Callable[[int], int],
    now: float,
) -> TracePart | None:
    """None where the request goes on as it came: its trace is known, and not recorded here.

    `random_bits` gives a number of so many bits.
    """
    text = headers.get(TRACEPARENT)
    parent = None if text is None else parse_traceparent(text.strip())
    tracestate = ""
    if parent is not None:
        recorded = sampler.records(parent.trace_id, parent)
        if not recorded and not parent.sampled:
            return None
        trace_id, passed_on = parent.trace_id, parent.flags & RANDOM
        tracestate = headers.get(TRACESTATE, "")
    else:
        trace_id = random_bits(128) or 1
        recorded, passed_on = sampler.records(trace_id, None), 0
    span_id = random_bits(64) or 1
    flags = passed_on | (SAMPLED if recorded else 0)
    sent = {TRACEPARENT: f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}"}
    if parent is None and TRACESTATE in headers:
        sent[TRACESTATE] = ""  # it is of the trace that could not be read
    return TracePart(trace_id, span_id, parent, recorded, tracestate, sent, now)
