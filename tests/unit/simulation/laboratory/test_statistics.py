from __future__ import annotations

import math
from random import Random

import pytest

from epp.simulation.laboratory.statistics import estimate, paired


def test_mean_and_interval_of_a_textbook_sample() -> None:
    found = estimate([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.mean == 3.0
    assert found.half_width == pytest.approx(2.776 * math.sqrt(2.5) / math.sqrt(5))
    assert (found.low, found.high) == (3.0 - found.half_width, 3.0 + found.half_width)


def test_one_run_says_nothing_of_its_spread_and_none_says_nothing() -> None:
    assert estimate([4.0]).mean == 4.0
    assert math.isnan(estimate([4.0]).half_width)
    assert math.isnan(estimate([]).mean)
    assert math.isnan(estimate([math.nan]).mean)


def test_what_is_no_number_is_left_out() -> None:
    assert estimate([1.0, math.nan, 3.0]).mean == 2.0


@pytest.mark.parametrize("runs", [2, 5, 31, 60])
def test_nineteen_of_twenty_intervals_hold_the_truth(runs: int) -> None:
    rng, held = Random(5), 0
    for _ in range(2000):
        found = estimate([rng.gauss(10, 3) for _ in range(runs)])
        held += found.low <= 10 <= found.high
    assert held / 2000 == pytest.approx(0.95, abs=0.02)


def test_pairs_take_out_what_both_have() -> None:
    found = paired([11.0, 52.0, 103.0], [10.0, 50.0, 101.0])
    assert found.mean == pytest.approx(5 / 3)
    assert found.half_width < 2


def test_unequal_numbers_of_runs_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired([1.0, 2.0], [1.0])
