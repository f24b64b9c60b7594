from __future__ import annotations

from collections import Counter
from random import Random
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.simulation.workloads.draws import Zipf, clamped, lognormal, normal


def many(draw: object, *parameters: float, count: int = 40_000) -> list[float]:
    rng = Random(4)
    assert callable(draw)
    return [draw(rng, *parameters) for _ in range(count)]


def test_a_lognormal_has_the_mean_and_spread_that_it_is_given() -> None:
    drawn = many(lognormal, 300.0, 200.0, 0.0, 1e9)
    assert fmean(drawn) == pytest.approx(300, rel=0.02)
    assert stdev(drawn) == pytest.approx(200, rel=0.05)


def test_a_normal_far_from_its_ends_has_the_mean_and_spread_that_it_is_given() -> None:
    drawn = many(normal, 300.0, 20.0, 0.0, 1000.0)
    assert fmean(drawn) == pytest.approx(300, rel=0.01)
    assert stdev(drawn) == pytest.approx(20, rel=0.03)


@given(
    st.sampled_from([normal, lognormal]),
    st.floats(1, 1e5),
    st.floats(1, 1e5),
    st.floats(1, 1e3),
    st.floats(0, 1e5),
    st.integers(),
)
def test_what_is_drawn_is_within_its_ends(
    draw: object, mean: float, spread: float, low: float, width: float, seed: int
) -> None:
    assert callable(draw)
    assert low <= draw(Random(seed), mean, spread, low, low + width) <= low + width


def test_nothing_piles_up_at_the_ends_of_a_normal() -> None:
    drawn = many(normal, 10.0, 10.0, 5.0, 15.0)
    assert not {5.0, 15.0} & set(drawn)


def test_clamped() -> None:
    assert [clamped(value, 1.0, 2.0) for value in (0.0, 1.5, 3.0)] == [1.0, 1.5, 2.0]


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_ranks_of_zipf_come_as_often_as_their_weights_say(exponent: float) -> None:
    ranks, rng = Zipf(20, exponent), Random(4)
    seen = Counter(ranks.draw(rng) for _ in range(40_000))
    assert set(seen) <= set(range(20))
    assert seen[0] / seen[3] == pytest.approx(4**exponent, rel=0.12)
