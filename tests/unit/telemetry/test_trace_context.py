from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.propagate import extract
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, TraceIdRatioBased
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from epp.telemetry.trace_context import (
    ALL_IDS,
    Sampler,
    TraceParent,
    TracePart,
    join_trace,
    parse_traceparent,
)

TRACE, CALLER = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
HEAD = f"00-{TRACE:032x}-{CALLER:016x}"
NEVER, ALWAYS = Sampler(True, 0), Sampler(True, ALL_IDS)


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (f"{HEAD}-01", 1),
        (f"{HEAD}-00", 0),
        (f"{HEAD}-03", 3),
        (f"cc{HEAD[2:]}-01", 1),
        (f"cc{HEAD[2:]}-01-what-comes-later", 1),
    ],
)
def test_a_valid_parent(text: str, flags: int) -> None:
    assert parse_traceparent(text) == TraceParent(TRACE, CALLER, flags)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"{HEAD}-1",
        f"{HEAD}-001",
        f"{HEAD}-01-more",
        f"cc{HEAD[2:]}-01more",
        f"ff{HEAD[2:]}-01",
        f"{HEAD.upper()}-01",
        f"{HEAD}-0x",
        f"00-{'0' * 32}-{CALLER:016x}-01",
        f"00-{TRACE:032x}-{'0' * 16}-01",
        f"00-{TRACE:032x}-{CALLER:016x}-0\u0661",
        f"{HEAD}-01\n",
    ],
)
def test_what_is_no_parent(text: str) -> None:
    assert parse_traceparent(text) is None


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_the_official_propagator_reads_the_same(trace: int, span: int, flags: int) -> None:
    text = f"00-{trace:032x}-{span:016x}-{flags:02x}"
    context = TraceContextTextMapPropagator().extract({"traceparent": text})
    theirs = get_current_span(context).get_span_context()
    assert parse_traceparent(text) == TraceParent(theirs.trace_id, theirs.span_id, flags)
    assert theirs.trace_flags & 1 == flags & 1


@given(
    st.integers(1, 2**128 - 1),
    st.none() | st.booleans(),
    st.sampled_from([0.0, 1e-9, 0.1, 0.5, 1.0]),
    st.booleans(),
)
def test_the_official_samplers_decide_the_same(
    trace: int, parent: bool | None, ratio: float, follows: bool
) -> None:
    plain = TraceIdRatioBased(ratio)
    official = ParentBased(plain) if follows else plain
    headers = (
        {} if parent is None else {"traceparent": f"00-{trace:032x}-1234567890123456-0{parent:d}"}
    )
    decision = official.should_sample(extract(headers), trace, "name").decision
    ours = parse_traceparent(headers["traceparent"]) if headers else None
    found = Sampler(follows, round(ratio * ALL_IDS)).records(trace, ours)
    assert found is (decision is Decision.RECORD_AND_SAMPLE)


def joined(headers: Mapping[str, str], sampler: Sampler) -> TracePart | None:
    return join_trace(headers, sampler, random.Random(1).getrandbits, 5.0)


def test_a_trace_that_is_not_recorded_passes_by_untouched() -> None:
    assert joined({"traceparent": f"{HEAD}-00", "tracestate": "a=1"}, ALWAYS) is None


def test_a_recorded_trace_goes_on_with_our_span_as_parent() -> None:
    part = joined({"traceparent": f" {HEAD}-03 ", "tracestate": "a=1"}, NEVER)
    assert part is not None
    assert (part.trace_id, part.recorded, part.tracestate, part.asked_at) == (TRACE, True, "a=1", 5)
    assert part.sent == {"traceparent": f"00-{TRACE:032x}-{part.span_id:016x}-03"}


@pytest.mark.parametrize(("sampler", "flags"), [(ALWAYS, "01"), (NEVER, "00")])
def test_a_trace_that_begins_here_is_told_whether_it_is_recorded(
    sampler: Sampler, flags: str
) -> None:
    part = joined({}, sampler)
    assert part is not None
    assert part.parent is None
    assert part.sent["traceparent"].endswith(f"-{part.span_id:016x}-{flags}")
    again = parse_traceparent(part.sent["traceparent"])
    assert again == TraceParent(part.trace_id, part.span_id, int(flags))


def test_the_state_of_a_trace_that_cannot_be_read_goes_no_further() -> None:
    for headers in ({"tracestate": "a=1"}, {"traceparent": "00-x", "tracestate": "a=1"}):
        part = joined(headers, ALWAYS)
        assert part is not None
        assert part.sent["tracestate"] == part.tracestate == ""


def test_a_ratio_of_new_traces() -> None:
    draw = random.Random(2).getrandbits
    sampler = Sampler(True, ALL_IDS // 10)
    parts = [join_trace({}, sampler, draw, 0.0) for _ in range(5000)]
    assert 400 < sum(part is not None and part.recorded for part in parts) < 600
