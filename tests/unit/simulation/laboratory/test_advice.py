from __future__ import annotations

from itertools import count

import pytest

from epp.simulation.laboratory.advice import (
    FINALISTS,
    PROOF_SEEDS,
    SEARCH_SEEDS,
    Advice,
    Plan,
    advise,
    figure_for,
    plan,
    ranked,
)
from epp.simulation.laboratory.cell import Cell
from epp.simulation.laboratory.comparison import Comparison, compare
from epp.simulation.policies import policy

NAMES = ("random", "round-robin", "least-request", "sticky", "lmetric")
DOCUMENTS = {name: policy(name) for name in NAMES}
# Prefixes for which the four servers have room together, and none alone.
CELL = Cell("zipf", "4x8b-h100", 30.0, "", seconds=10.0, scrape_seconds=1.0, ttft_seconds=0.06)


def asked(present: str, cell: Cell = CELL, budget: float = 0.0) -> tuple[Advice, list[float]]:
    shares: list[float] = []
    ticks = count()
    advice = advise(
        cell,
        present,
        DOCUMENTS,
        clock=lambda: float(next(ticks)),
        budget_seconds=budget,
        jobs=1,
        on_progress=shares.append,
    )
    return advice, shares


@pytest.fixture(scope="module")
def from_random() -> tuple[Advice, list[float]]:
    return asked("random")


def test_what_is_much_better_is_found_and_proven(from_random: tuple[Advice, list[float]]) -> None:
    advice, _ = from_random
    assert advice.best in ("sticky", "lmetric")
    assert advice.proven
    assert advice.advised == advice.best
    assert advice.figure == "good_share"
    assert 0 < advice.gain.low < advice.gain.mean <= 1


def test_the_proof_has_seeds_that_the_search_has_not_seen(
    from_random: tuple[Advice, list[float]],
) -> None:
    advice, _ = from_random
    assert advice.first_round.seeds == (1,)
    assert len(advice.final_round.seeds) == PROOF_SEEDS[0]
    assert min(advice.final_round.seeds) > SEARCH_SEEDS[0] + 1
    assert set(advice.final_round.outcomes) == {"random", advice.best}


def test_progress_grows_and_ends_with_all(from_random: tuple[Advice, list[float]]) -> None:
    _, shares = from_random
    assert shares[-1] == 1.0
    assert all(0 < share <= 1 for share in shares)


def test_what_is_best_already_is_kept(from_random: tuple[Advice, list[float]]) -> None:
    best = from_random[0].best
    advice, _ = asked(best)
    assert advice.advised == best


@pytest.mark.parametrize(
    ("cells", "planned"),
    [
        (-5.0, Plan(SEARCH_SEEDS[0], PROOF_SEEDS[0])),
        (1e9, Plan(SEARCH_SEEDS[1], PROOF_SEEDS[1])),
        (28.0, Plan(3, 7)),
    ],
)
def test_seeds_are_as_many_as_there_is_time_for(cells: float, planned: Plan) -> None:
    assert plan(cells) == planned
    if cells > FINALISTS * SEARCH_SEEDS[0] + 2 * PROOF_SEEDS[0]:
        assert FINALISTS * planned.search + 2 * planned.proof <= max(cells, 40)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    arms = {
        name: Cell("zipf", "2x8b-h100", 3.0, policy(name), warm=False, seconds=8.0)
        for name in NAMES[:2]
    }
    return compare(arms, (1, 2), jobs=1)


def test_where_all_is_good_answers_are_compared_by_their_time(comparison: Comparison) -> None:
    assert figure_for(comparison, "random") == "seconds_mean"


def test_shorter_is_better_and_of_equals_the_present_one(comparison: Comparison) -> None:
    by_time = ranked(comparison, "seconds_mean", "random")
    times = [comparison.figure(arm, "seconds_mean").mean for arm in by_time]
    assert times == sorted(times)
    for present in NAMES[:2]:
        assert ranked(comparison, "served_share", present)[0] == present
