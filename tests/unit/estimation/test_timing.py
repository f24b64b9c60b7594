from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from epp.core.endpoint import Endpoint
from epp.core.estimate import UNKNOWN
from epp.estimation.decoding import Window
from epp.estimation.laws import ENOUGH_ANSWERS, ENOUGH_PREFILLS
from epp.estimation.stay import Life
from epp.estimation.timing import Timing
from tests.helpers.build import an_endpoint
from tests.unit.estimation.test_prefills import a_stay

A, B = an_endpoint("a"), an_endpoint("b")
BASE, TOKEN, SINGLE, SLOPE = 0.008, 31e-6, 0.007, 60e-6


def learned_prefills(timing: Timing, true: dict[Endpoint, float], rounds: int) -> None:
    rng = random.Random(1)
    for _ in range(rounds):
        for endpoint, ratio in true.items():
            tokens = rng.randrange(100, 4000)
            timing.learn_prefill(endpoint, tokens, 1.0, ratio * (BASE + TOKEN * tokens), 7.0)


def learned_answers(
    timing: Timing,
    true: dict[Endpoint, float],
    rounds: int,
    *,
    whole: bool,
    told: bool = True,
) -> None:
    rng = random.Random(1)
    for _ in range(rounds):
        for endpoint, ratio in true.items():
            stay = a_stay(endpoint, 0, "shown")
            stay.first_token_at = math.nan if whole else 1.0
            outputs, in_flight = rng.randrange(50, 150), rng.uniform(1, 40)
            ahead = rng.randrange(0, 5000) if whole else 0
            prefilled = ahead + outputs * rng.randrange(0, 40)
            seconds = TOKEN * prefilled + outputs * (SINGLE + SLOPE * in_flight)
            life = Life(
                stay, ratio * seconds, ahead, prefilled, in_flight, outputs if told else None
            )
            timing.learn_answer(life, 9.0)


def test_nothing_seen_is_nothing_known() -> None:
    timing = Timing()
    assert timing.prefill() == (0.0, 0.0, 0.0, UNKNOWN)
    assert timing.decode(100.0) == (0.0, 0.0, 0.0, UNKNOWN)
    assert math.isnan(timing.expected_prefill(A, 100))


@pytest.mark.parametrize(
    ("change", "tells"),
    [
        ({}, True),
        ({"loads": 1}, False),
        ({"running": 0.0}, False),
        ({"tokens": 0.0}, False),
        ({"pending": 100_000}, False),
        ({"prefilled": 100_000.0}, False),
    ],
)
def test_a_window_tells_of_decodes_where_nothing_else_held_them_up(
    change: dict[str, float], tells: bool
) -> None:
    window = Window(1.0, 400.0, 4.0, 0.0, 0, 0, 0)
    assert Timing().learn_window(A, replace(window, **change), 1.0) is tells  # type: ignore[arg-type]


def test_first_tokens_say_how_long_a_prefill_takes() -> None:
    timing = Timing()
    learned_prefills(timing, {A: 1.0}, ENOUGH_PREFILLS)
    assert timing.prefill()[:2] == pytest.approx((BASE, TOKEN), rel=0.01)
    assert timing.expected_prefill(A, 1000) == pytest.approx(BASE + 1000 * TOKEN, rel=0.01)
    assert timing.prefill()[3] == 7.0


@pytest.mark.parametrize("whole", [False, True])
def test_tokens_of_answers_say_how_long_a_decode_takes(whole: bool) -> None:
    timing = Timing()
    learned_answers(timing, {A: 1.0}, 10 * ENOUGH_ANSWERS, whole=whole)
    seconds, slope, samples, learned_at = timing.decode(200.0)
    assert (seconds, slope) == pytest.approx((200 * SINGLE, 200 * SLOPE), rel=0.02)
    assert (samples > 150, learned_at) == (True, 9.0)
    token = timing.prefill()[1]
    assert token == pytest.approx(TOKEN if whole else 0.0, rel=0.02)


@pytest.mark.parametrize("whole", [False, True])
def test_without_tokens_every_answer_counts_as_one(whole: bool) -> None:
    timing = Timing()
    learned_answers(timing, {A: 1.0}, 50 * ENOUGH_ANSWERS, whole=whole, told=False)
    seconds, slope, _, _ = timing.decode(0.0)
    mean = 100 * (SINGLE + 20 * SLOPE + 20 * TOKEN)
    assert seconds + 20 * slope == pytest.approx(mean, rel=0.05)
    assert timing.prefill()[1] == pytest.approx(TOKEN if whole else 0.0, rel=0.3)


def test_decodes_say_more_than_lives_and_tokens_more_than_answers() -> None:
    timing = Timing()
    learned_answers(timing, {A: 1.0}, 2 * ENOUGH_ANSWERS, whole=True, told=False)
    assert timing.decode(1.0)[0] > 0.2
    learned_answers(timing, {A: 1.0}, 2 * ENOUGH_ANSWERS, whole=True)
    assert timing.decode(1.0)[0] == pytest.approx(SINGLE, rel=0.05)
    learned_answers(timing, {A: 2.0}, 2 * ENOUGH_ANSWERS, whole=False)
    assert timing.decode(1.0)[0] == pytest.approx(2 * SINGLE, rel=0.05)


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_a_slow_server_is_told_apart_and_the_law_is_that_of_the_pool(
    whole: bool, told: bool
) -> None:
    pool = {an_endpoint(f"e{n}"): 2.0 if n < 2 else 1.0 for n in range(6)}
    timing = Timing()
    learned_prefills(timing, pool, 400)
    learned_answers(timing, pool, 400, whole=whole, told=told)
    slow, *_, fast = pool
    estimates = slow.estimate, fast.estimate
    prefill = [e.prefill_ratio for e in estimates]
    decode = [e.decode_ratio for e in estimates]
    assert prefill[0] / prefill[1] == pytest.approx(2.0, rel=0.05)
    assert decode[0] / decode[1] == pytest.approx(2.0, rel=0.1)
    truth = 2 * (BASE + 1000 * TOKEN)
    assert timing.expected_prefill(slow, 1000) == pytest.approx(truth, rel=0.1)


def test_a_server_that_left_is_not_written_any_more() -> None:
    timing = Timing()
    learned_prefills(timing, {A: 1.0, B: 3.0}, 100)
    timing.forget(B)
    B.estimate.prefill_ratio = 0.5
    learned_prefills(timing, {A: 1.0}, 100)
    assert B.estimate.prefill_ratio == 0.5
