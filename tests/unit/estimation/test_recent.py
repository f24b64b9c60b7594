from __future__ import annotations

import math

import pytest

from epp.estimation.recent import (
    PROMPTS,
    WINDOW,
    EventRate,
    RecentMean,
    RecentMedian,
    RecentPrompts,
)


def test_a_mean_is_plain_until_the_window_is_full_and_then_follows() -> None:
    mean = RecentMean(window=10)
    for value in (1.0, 2.0, 6.0):
        mean.add(value)
    assert (mean.mean, mean.samples) == (3.0, 3)
    for _ in range(100):
        mean.add(9.0)
    assert mean.mean == pytest.approx(9.0, abs=0.01)


def test_a_median_is_of_the_last_ones_and_few_do_not_move_it() -> None:
    median = RecentMedian(window=5)
    assert math.isnan(median.median)
    seen = []
    for value in (4.0, 2.0, 99.0, 3.0, 0.0):
        median.add(value)
        seen.append(median.median)
    assert seen == [4.0, 3.0, 4.0, 3.5, 3.0]
    for _ in range(3):
        median.add(8.0)
    assert median.median == 8.0


def test_a_rate_is_of_the_last_events_and_falls_without_any() -> None:
    rate = EventRate()
    assert rate.per_second(0.0) == 0.0
    rate.add(0.0)
    assert rate.per_second(1.0) == 0.0
    for n in range(1, 10 * WINDOW):
        rate.add(n / 10)
    last = (10 * WINDOW - 1) / 10
    assert rate.per_second(last) == pytest.approx(10.0)
    assert rate.per_second(last + 1000) < 0.25


def test_events_of_one_moment_have_no_rate() -> None:
    rate = EventRate()
    for _ in range(5):
        rate.add(3.0)
    assert rate.per_second(3.0) == 0.0


def test_the_sample_holds_the_latest_prompts_in_order() -> None:
    prompts = RecentPrompts()
    for length in (5, 3, 4):
        prompts.add(length)
    assert prompts.sample.lengths == (3, 4, 5)
    assert prompts.sample.sums == (0, 3, 7, 12)
    assert prompts.sample.squares == (0, 9, 25, 50)
    for length in range(1000, 1000 + 2 * PROMPTS):
        prompts.add(length)
    assert len(prompts.sample.lengths) == PROMPTS
    assert prompts.sample.lengths[0] > 1000
