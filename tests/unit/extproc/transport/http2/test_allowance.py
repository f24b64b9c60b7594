"""The token bucket for frames that carry no request."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.extproc.transport.http2.allowance import Allowance

# Steps of a quarter second and a power of two a second: floats of these are exact.
QUARTERS = st.integers(0, 40)
STEPS = st.lists(
    st.tuples(QUARTERS, st.integers(0, 5), st.sampled_from([0.5, 1.0, 1.5, 3.0])), max_size=60
)


def spent(allowance: Allowance, now: float, times: int) -> list[bool]:
    return [allowance.spend(now, 0) for _ in range(times)]


def test_a_burst_and_not_one_more() -> None:
    assert spent(Allowance(5, 1, 0.0), 0.0, 6) == [True] * 5 + [False]


def test_an_allowance_of_nothing() -> None:
    assert not Allowance(0, 0, 0.0).spend(1e9, 0)


@pytest.mark.parametrize(("seconds", "more"), [(0.0, 0), (0.5, 2), (1.0, 4), (2.0, 8), (2.5, 8)])
def test_time_gives_back_up_to_the_burst(seconds: float, more: int) -> None:
    allowance = Allowance(8, 4, 100.0)
    assert all(spent(allowance, 100.0, 8))
    assert spent(allowance, 100.0 + seconds, more + 1) == [True] * more + [False]


def test_what_passed_before_the_first_frame_counts_from_the_beginning() -> None:
    allowance = Allowance(8, 4, 100.0)
    assert spent(allowance, 1000.0, 9) == [True] * 8 + [False]


def test_the_same_time_is_given_once() -> None:
    allowance = Allowance(4, 4, 0.0)
    assert all(spent(allowance, 0.0, 4))
    assert spent(allowance, 0.5, 2) == [True, True]
    assert spent(allowance, 0.75, 2) == [True, False]


@pytest.mark.parametrize(("earned", "more"), [(0, 0), (1, 1), (3, 3), (5, 5), (6, 5), (1000, 5)])
def test_earnings_give_back_up_to_the_burst(earned: int, more: int) -> None:
    allowance = Allowance(5, 1, 0.0)
    assert all(spent(allowance, 0.0, 5))
    answers = [allowance.spend(0.0, earned), *spent(allowance, 0.0, more)]
    assert answers == [True] * more + [False] + [False] * (len(answers) - more - 1)


@pytest.mark.parametrize(
    ("cost", "times"), [(0.5, 20), (1.0, 10), (2.0, 5), (3.0, 3), (10.0, 1), (11.0, 0)]
)
def test_a_frame_may_cost_more_than_one(cost: float, times: int) -> None:
    allowance = Allowance(10, 1, 0.0)
    answers = [allowance.spend(0.0, 0, cost) for _ in range(times + 1)]
    assert answers == [True] * times + [False]


def test_what_was_overdrawn_is_owed() -> None:
    allowance = Allowance(1, 1, 0.0)
    assert not allowance.spend(0.0, 0, 11.0)
    assert not allowance.spend(9.0, 0)
    assert allowance.spend(12.0, 0)


def test_a_peer_within_the_rate_never_runs_dry() -> None:
    allowance = Allowance(1, 4, 0.0)
    assert all(allowance.spend(quarter / 4, 0) for quarter in range(1000))


def test_a_peer_that_earns_every_frame_never_runs_dry() -> None:
    allowance = Allowance(1, 0, 0.0)
    assert all(allowance.spend(0.0, 1) for _ in range(1000))


@given(st.integers(0, 20), st.sampled_from([0, 1, 2, 8]), STEPS)
def test_the_bucket_is_exact(
    burst: int, per_second: int, steps: list[tuple[int, int, float]]
) -> None:
    allowance = Allowance(burst, per_second, 3.0)
    now, left = 3.0, Fraction(burst)
    for quarters, earned, cost in steps:
        now += quarters / 4
        left += Fraction(quarters, 4) * per_second + earned
        left = min(left, Fraction(burst)) - Fraction(cost)
        assert allowance.spend(now, earned, cost) == (left >= 0)
        assert allowance.left == left


@given(st.integers(0, 20), st.sampled_from([0, 1, 2, 8]), STEPS)
def test_no_more_passes_than_burst_rate_and_earnings(
    burst: int, per_second: int, steps: list[tuple[int, int, float]]
) -> None:
    allowance = Allowance(burst, per_second, 0.0)
    now, most, passed = 0.0, float(burst), 0.0
    for quarters, earned, cost in steps:
        now += quarters / 4
        most += quarters / 4 * per_second + earned
        if not allowance.spend(now, earned, cost):
            break
        passed += cost
    assert passed <= most
