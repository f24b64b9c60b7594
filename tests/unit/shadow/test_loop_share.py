from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from epp.shadow.loop_share import SAVED_SECONDS, LoopShare

SHARES = st.sampled_from([0.001, 0.01, 0.1, 1.0])
# Seconds until a decision, what looking at it costs, what upkeep costs.
COSTS = st.sampled_from([0.0, 1e-6, 5e-5, 0.002, 0.3])
DECISIONS = st.lists(st.tuples(st.sampled_from([0.0, 1e-4, 0.01, 1.0, 30.0]), COSTS, COSTS))


@given(SHARES, DECISIONS, st.randoms(use_true_random=False))
def test_over_any_time_no_more_is_spent_than_was_earned_and_saved(
    share: float, decisions: list[tuple[float, float, float]], rng: random.Random
) -> None:
    budget, now = LoopShare(share, 5.0), 5.0
    spent: list[tuple[float, float, float]] = []  # when, all until then, the last one
    total = 0.0
    for wait, comparing, upkeep in decisions:
        now += wait
        seconds = comparing if budget.may_compare(now, rng.random()) else 0.0
        budget.spend(seconds)
        if budget.may_keep_up(now):
            budget.spend(upkeep)
            seconds += upkeep
        total += seconds
        spent.append((now, total, comparing + upkeep))
    for n, (start, before, last) in enumerate(spent):
        for end, after, largest in spent[n:]:
            last = max(last, largest)
            allowed = share * (end - start + 2 * SAVED_SECONDS)
            assert after - before <= allowed + last + 1e-9


def test_all_are_looked_at_while_there_is_time_for_all() -> None:
    budget = LoopShare(0.01, 0.0)
    for n in range(1000):  # half of the share
        assert budget.may_compare(n * 0.01, 0.999999)
        budget.spend(5e-5)


def test_with_less_time_each_has_the_chance_that_the_time_pays_for() -> None:
    rng, budget, looked = random.Random(4), LoopShare(0.01, 0.0), []
    for n in range(40_000):  # a thousand a second, where the share pays for a fifth
        looked.append(budget.may_compare(n * 0.001, rng.random()))
        budget.spend(5e-5 if looked[-1] else 0.0)
    later = looked[10_000:]
    assert abs(sum(later) / len(later) - 0.2) < 0.01


def test_the_first_of_a_burst_have_hardly_more_of_it_than_the_last() -> None:
    rng, budget, looked = random.Random(4), LoopShare(0.01, 0.0), [0] * 20
    for burst in range(10_000):  # a thousand decisions a second
        for place in range(20):
            if budget.may_compare(burst * 0.02, rng.random()):
                budget.spend(5e-5)
                looked[place] += burst >= 1000
    mean = sum(looked) / len(looked)
    assert abs(mean / 9000 - 0.2) < 0.01
    assert all(abs(count - mean) < 0.2 * mean for count in looked)


def test_upkeep_that_costs_more_than_the_share_leaves_some_for_comparing() -> None:
    rng, budget = random.Random(4), LoopShare(0.01, 0.0)
    looked: list[int] = []
    for n in range(60_000):  # a thousand a second, of which upkeep alone takes five times the share
        if budget.may_compare(n * 0.001, rng.random()):
            looked.append(n)
            budget.spend(2e-5)
        if budget.may_keep_up(n * 0.001):
            budget.spend(5e-5)
    for second in range(5, 55, 5):
        assert any(1000 * second <= n < 1000 * (second + 5) for n in looked)


def test_dear_and_cheap_decisions_are_looked_at_alike() -> None:
    rng, budget = random.Random(4), LoopShare(0.01, 0.0)
    looked = {5e-5: 0, 2e-3: 0}
    shown = dict.fromkeys(looked, 0)
    for n in range(100_000):
        cost = rng.choice(list(looked))
        shown[cost] += 1
        if budget.may_compare(n * 0.001, rng.random()):
            looked[cost] += 1
            budget.spend(cost)
    cheap, dear = (looked[cost] / shown[cost] for cost in (5e-5, 2e-3))
    assert 0.001 < dear < 0.1
    assert abs(cheap - dear) < 0.25 * dear


def test_one_that_takes_far_too_long_is_paid_off_first() -> None:
    budget = LoopShare(0.01, 0.0)
    assert budget.may_compare(0.0, 0.0)
    budget.spend(0.5)
    assert not budget.may_compare(48.9, 0.0)
    assert budget.may_compare(49.1, 0.0)
    assert 0.0 < budget.left < 0.01
