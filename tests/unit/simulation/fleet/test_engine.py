"""The fleet's engine against the plain one, which lists every token and moves every block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epp.simulation.engine import Engine
from epp.simulation.fleet.engine import FleetEngine
from epp.simulation.fleet.requests import FleetRequest
from epp.simulation.fleet.segments import Segment
from epp.simulation.profiles import PROFILES
from epp.simulation.requests import EngineRequest
from epp.simulation.scheduler import EngineSettings

BLOCK = 4


def block_hashes(segments: Sequence[Segment], block_tokens: int) -> list[int]:
    """One hash for every full block of the text, from the keys of all segments up to its end."""
    starts, end = [], 0
    for segment in segments:
        starts.append((end, segment.key))
        end += segment.tokens
    return [
        hash((stop, *(key for start, key in starts if start < stop)))
        for stop in range(block_tokens, end + 1, block_tokens)
    ]


@dataclass
class Pair:
    """One request, in both forms."""

    at: float
    fleet: FleetRequest
    plain: EngineRequest


def a_pair(
    at: float,
    segments: Sequence[Segment],
    output: int,
    answer: int,
    adapter: str,
    received: int = 0,
) -> Pair:
    text = [*segments, Segment(answer, output)] if answer else segments
    fleet = FleetRequest(segments, output, answer, adapter)
    plain = EngineRequest(
        "r", fleet.prompt_tokens, output, block_hashes=block_hashes(text, BLOCK), adapter=adapter
    )
    fleet.received_tokens = plain.received_tokens = min(received, fleet.prompt_tokens)
    return Pair(at, fleet, plain)


def run(pairs: Sequence[Pair], limits: EngineSettings) -> tuple[Engine, FleetEngine]:
    plain, fleet = Engine(limits, Random(7)), FleetEngine(limits, Random(7))
    for pair in pairs:
        plain.advance(pair.at)
        plain.submit(pair.plain, pair.at)
        while fleet.ends_at <= pair.at:
            step(fleet)
        fleet.submit(pair.fleet, pair.at)
    while plain.next_event_at() < math.inf:
        plain.advance(plain.next_event_at())
    while not fleet.idle:
        step(fleet)
    return plain, fleet


def step(fleet: FleetEngine) -> None:
    fleet.step()
    assert fleet.cache.blocks_in_free_list() == fleet.cache.free
    assert 0 <= fleet.cache.held <= fleet.cache.capacity


def outcome(request: FleetRequest | EngineRequest) -> tuple[float, ...]:
    return (
        request.scheduled_at,
        request.first_token_at,
        request.last_token_at,
        request.cached_tokens,
        request.preemptions,
    )


Ask = st.tuples(
    st.one_of(st.floats(0, 0.05), st.just(20.0)),  # seconds since the one before
    st.integers(0, 2),  # shared prefix
    st.integers(0, 3),  # question, of which the same can come again
    st.integers(1, 40),  # output tokens
    st.sampled_from(["", "", "x", "y", "z"]),
    st.booleans(),  # goes on with an answer that has ended
    st.sampled_from([0, 0, 10, 1000]),  # tokens that another server computed
)
PREFIXES = (Segment(11, 24), Segment(12, 21), Segment(13, 2))
QUESTIONS = (Segment(21, 8), Segment(22, 13), Segment(23, 1), Segment(24, 30))


@settings(max_examples=200, deadline=None)
@given(
    asks=st.lists(Ask, min_size=1, max_size=30),
    num_blocks=st.integers(60, 110),
    sequences=st.integers(1, 12),
    budget=st.integers(12, 64),
)
def test_both_engines_compute_the_same(
    asks: list[tuple[float, int, int, int, str, bool, int]],
    num_blocks: int,
    sequences: int,
    budget: int,
) -> None:
    limits = EngineSettings(
        PROFILES["8b-h100"],
        num_blocks=num_blocks,
        block_size_tokens=BLOCK,
        max_num_batched_tokens=budget,
        max_num_seqs=sequences,
        max_adapters=2,
        stall_probability=0.1,
    )
    pairs: list[Pair] = []
    now = 0.0
    for number, (delay, prefix, question, output, adapter, goes_on, received) in enumerate(asks):
        now += delay
        segments: list[Segment] = [PREFIXES[prefix], QUESTIONS[question]]
        answer = 1000 + number
        ended = [p.fleet for p in pairs if p.at < now - 10 and p.fleet.prompt_tokens < 120]
        if goes_on and ended:
            before = ended[-1]
            segments = [
                *before.segments,
                Segment(before.answer_key, before.output_tokens),
                QUESTIONS[question],
            ]
        pairs.append(a_pair(now, segments, output, answer, adapter, received))
    plain, fleet = run(pairs, limits)
    assert [outcome(pair.fleet) for pair in pairs] == [outcome(pair.plain) for pair in pairs]
    assert fleet.cache.held == 0
    assert plain.gauges.running == fleet.running_seen == 0
    assert fleet.generated_seen == sum(pair.plain.generated_tokens for pair in pairs)


def test_under_pressure_both_preempt_the_same_requests() -> None:
    limits = EngineSettings(
        PROFILES["8b-h100"],
        num_blocks=65,
        block_size_tokens=BLOCK,
        max_num_batched_tokens=64,
        max_num_seqs=16,
    )
    pairs = [a_pair(n * 0.001, [Segment(n + 1, 20 + n)], 60, 500 + n, "") for n in range(12)]
    _, fleet = run(pairs, limits)
    assert sum(pair.fleet.preemptions for pair in pairs) > 5
    assert [outcome(pair.fleet) for pair in pairs] == [outcome(pair.plain) for pair in pairs]
    assert fleet.generated_seen == 60 * len(pairs)


def test_of_a_prompt_that_was_received_only_the_last_token_is_computed() -> None:
    limits = EngineSettings(PROFILES["8b-h100"], num_blocks=2000, jitter_sigma=0.0)
    engine = FleetEngine(limits, Random(1))
    computed, received = (FleetRequest([Segment(key, 8000)], 5) for key in (1, 2))
    received.received_tokens = 8000
    engine.submit(computed, 0.0)
    while not engine.idle:
        engine.step()
    long_after = 100.0
    engine.submit(received, long_after)
    assert engine.prefilled_tokens == 1
    assert engine.cache.held == 8000 // limits.block_size_tokens
    while not engine.idle:
        engine.step()
    assert received.first_token_at - long_after < computed.first_token_at / 5
    assert (received.cached_tokens, received.generated) == (0, 5)
    # Its keys and values are found by the next one as if they had been computed here.
    assert engine.cached_tokens(FleetRequest([Segment(2, 8000)], 1)) == 7984


def test_blocks_are_kept_for_who_fetches_them_and_others_wait_for_them() -> None:
    limits = EngineSettings(PROFILES["8b-h100"], num_blocks=600, jitter_sigma=0.0)
    engine = FleetEngine(limits, Random(1))
    kept, waits = (FleetRequest([Segment(key, 8000)], 1) for key in (1, 2))
    kept.keeps_blocks = True
    engine.submit(kept, 0.0)
    while not engine.idle:
        engine.step()
    assert engine.finished == [kept]
    assert engine.cache.held == 500
    engine.submit(waits, 10.0)
    assert (engine.idle, engine.waiting, engine.held_up) == (True, 1, "memory")
    engine.let_go(kept, 12.0)
    assert not engine.idle
    while not engine.idle:
        engine.step()
    assert waits.scheduled_at == 12.0
    engine.let_go(kept, 20.0)  # once more changes nothing
    assert engine.cache.held == 0
    assert engine.cache.blocks_in_free_list() == engine.cache.capacity


def test_an_image_is_encoded_in_the_step_that_reaches_it() -> None:
    limits = EngineSettings(
        PROFILES["8b-h100"],
        num_blocks=2000,
        max_num_batched_tokens=1000,
        jitter_sigma=0.0,
    )
    engine = FleetEngine(limits, Random(1))
    request = FleetRequest([Segment(1, 1500), Segment(2, 700, image=True), Segment(3, 100)], 2)
    engine.submit(request, 0.0)
    encoded = []
    while not engine.idle:
        encoded.append(engine.encode_seconds)
        engine.step()
    assert encoded == pytest.approx([0.0, 700 * 20e-6, 0.0, 0.0])
    # With the prefix in the cache it is not needed again.
    engine.submit(FleetRequest([*request.segments[:2], Segment(4, 100)], 2), 10.0)
    assert engine.encode_seconds == 0.0


def test_a_step_budget_below_the_sequences_is_refused() -> None:
    limits = EngineSettings(PROFILES["8b-h100"], num_blocks=65, max_num_batched_tokens=64)
    with pytest.raises(ValueError, match="below max_num_seqs"):
        FleetEngine(limits, Random(1))
