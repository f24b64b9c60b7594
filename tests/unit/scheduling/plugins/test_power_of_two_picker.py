from __future__ import annotations

import random
from collections import Counter

from epp.scheduling.plugins.power_of_two_picker import PowerOfTwoPicker
from tests.helpers.build import an_endpoint

POOL = [an_endpoint(name) for name in "abc"]


def test_the_better_of_two_drawn_wins() -> None:
    rng = random.Random(1)
    scores = [0.0, 0.5, 1.0]
    won = Counter(PowerOfTwoPicker().pick(POOL, scores, 1, rng)[0].name for _ in range(3000))
    # The best is drawn in two pairs of three, the second best wins the third pair.
    assert won["a"] == 0
    assert abs(won["c"] - 2000) < 130  # five standard deviations


def test_of_equals_each_wins_as_often() -> None:
    rng = random.Random(2)
    won = Counter(PowerOfTwoPicker().pick(POOL, [1.0] * 3, 1, rng)[0].name for _ in range(3000))
    assert all(abs(times - 1000) < 130 for times in won.values())


def test_the_loser_is_the_fallback() -> None:
    winner, loser = PowerOfTwoPicker().pick(POOL[:2], [0.2, 0.9], 5, random.Random(1))
    assert (winner.name, loser.name) == ("b", "a")


def test_one_endpoint_needs_no_choice() -> None:
    assert PowerOfTwoPicker().pick(POOL[:1], [0.0], 1, random.Random(1)) == POOL[:1]
