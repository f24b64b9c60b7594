from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epp.estimation.laws import (
    ENOUGH_ANSWERS,
    ENOUGH_PREFILLS,
    AnswerLaw,
    Decode,
    DecodeLaw,
    PrefillLaw,
)
from tests.helpers.build import an_endpoint

SEED = st.integers(0, 1 << 32)
BASE, TOKEN, SINGLE, SLOPE = 0.008, 31e-6, 0.007, 60e-6


@settings(max_examples=20)
@given(SEED)
def test_a_prefill_law_converges(seed: int) -> None:
    rng, law = random.Random(seed), PrefillLaw()
    for _ in range(400):
        tokens = rng.lognormvariate(6.5, 1.0)
        law.learn(tokens, (BASE + TOKEN * tokens) * rng.lognormvariate(0.0, 0.1), 1.0)
    assert law.known
    assert law.token_seconds == pytest.approx(TOKEN, rel=0.15)
    assert law.seconds(1000.0) == pytest.approx(BASE + 1000 * TOKEN, rel=0.1)


@settings(max_examples=20)
@given(SEED)
def test_long_prompts_of_one_length_are_a_law_too(seed: int) -> None:
    rng, law = random.Random(seed), PrefillLaw()
    for _ in range(100):
        seconds = (BASE + 7200 * TOKEN) * rng.lognormvariate(0.0, 0.3)
        law.learn(7200.0, seconds, 1.0, only_long_are_seen=True)
    law.learn(1300.0, 0.8, 1.0, only_long_are_seen=True)  # held up by something else
    assert law.known
    assert law.base_seconds == 0.0
    assert law.seconds(7200.0) == pytest.approx(BASE + 7200 * TOKEN, rel=0.25)


@settings(max_examples=20)
@given(SEED)
def test_an_answer_law_converges(seed: int) -> None:
    rng, law = random.Random(seed), AnswerLaw()
    for _ in range(1000):
        outputs, in_flight = rng.lognormvariate(5.0, 0.6), rng.uniform(1, 60)
        prefilled = outputs * rng.uniform(0, 40)
        seconds = TOKEN * prefilled + outputs * (SINGLE + SLOPE * in_flight)
        law.learn(prefilled, outputs, in_flight, seconds * rng.lognormvariate(0.0, 0.1), 1.0)
    assert law.known
    assert law.prefill_token_seconds == pytest.approx(TOKEN, rel=0.4)
    assert law.output_seconds == pytest.approx(SINGLE, rel=0.4)
    assert law.slope_seconds == pytest.approx(SLOPE, rel=0.5)
    assert law.seconds(1000.0, 200.0, 30.0) == pytest.approx(
        1000 * TOKEN + 200 * (SINGLE + 30 * SLOPE), rel=0.1
    )


def test_a_decode_law_does_not_take_fast_servers_for_patient_ones() -> None:
    """The fast half has three times the requests in flight, and is as fast for each of them."""
    rng, law = random.Random(1), DecodeLaw()
    servers = {an_endpoint(f"e{n}"): (0.5, 60.0) if n < 4 else (1.5, 20.0) for n in range(8)}
    for _ in range(300):
        for endpoint, (ratio, mean) in servers.items():
            in_flight, prefilled = rng.gauss(mean, 5.0), rng.uniform(0, 400)
            outputs = rng.uniform(20, 60)
            seconds = TOKEN * prefilled + outputs * (ratio * SINGLE + SLOPE * in_flight)
            seconds *= rng.lognormvariate(0.0, 0.01)
            law.learn(Decode(endpoint, seconds, outputs, in_flight, prefilled), 1.0)
    assert law.slope_seconds == pytest.approx(SLOPE, rel=0.1)
    assert law.prefill_token_seconds == pytest.approx(TOKEN, rel=0.1)
    assert law.output_seconds == pytest.approx(SINGLE, rel=0.1)


def test_a_decode_law_forgets_the_mean_of_a_server_that_left() -> None:
    law, endpoint = DecodeLaw(), an_endpoint()
    for seconds in (1.0, 1.0, 9.0):
        if seconds > 1.0:
            law.forget(endpoint)
        law.learn(Decode(endpoint, seconds, 10.0, 5.0 * seconds, 0.0), 1.0)
    assert law.slope_seconds == 0.0  # the third row has nothing to differ from
    assert law.samples == 1.0


def test_a_law_is_known_after_enough_samples() -> None:
    prefills, answers = PrefillLaw(), AnswerLaw()
    known = []
    for n in range(ENOUGH_ANSWERS):
        prefills.learn(100.0 + n, 0.01, 5.0 + n)
        answers.learn(100.0, 50.0 + n, 3.0, 1.0, 5.0 + n)
        known.append((prefills.known, answers.known))
    assert known.index((True, False)) == ENOUGH_PREFILLS - 1
    assert known.index((True, True)) == ENOUGH_ANSWERS - 1
    assert prefills.learned_at == answers.learned_at == 4.0 + ENOUGH_ANSWERS


def test_prefills_whose_tokens_cost_nothing_are_no_law() -> None:
    law = PrefillLaw()
    for n in range(20):
        law.learn(100.0 + n, 0.0, 1.0)
    assert not law.known
