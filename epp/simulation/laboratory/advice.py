"""Which configuration serves a load best on a fleet, and how sure that is.

All candidates run once, the best of them again, and the best of these is put beside the present
one with seeds that nobody has seen: who wins a search has also been lucky in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Final

from epp.simulation.laboratory.bottleneck import Bottleneck, bottleneck
from epp.simulation.laboratory.cell import Cell, objectives_of
from epp.simulation.laboratory.comparison import Comparison, compare
from epp.simulation.laboratory.statistics import Estimate

FINALISTS: Final = 4
ENOUGH_GOOD: Final = 0.99  # above, answers are compared by how long they take
SEARCH_SEEDS: Final = (2, 5)  # at least and at most, of the finalists
PROOF_SEEDS: Final = (4, 10)


@dataclass(frozen=True, slots=True)
class Advice:
    """What to run in place of `present`, which is the same where nothing better was found."""

    present: str
    best: str
    figure: str  # by which they were compared, a field of Outcome
    gain: Estimate  # in it, above 0 is better, paired by seed, with seeds of its own
    proven: bool  # the whole interval is on the better side
    first_round: Comparison  # all candidates
    final_round: Comparison  # present and best
    bottleneck: Bottleneck  # with the advised one

    @property
    def advised(self) -> str:
        return self.best if self.proven else self.present


@dataclass(frozen=True, slots=True)
class Plan:
    """How many seeds the later rounds have."""

    search: int
    proof: int


def plan(cells_left: float) -> Plan:
    """For the number of runs that there is time for; never below the least that says anything."""
    proof = _within(cells_left / 2 / 2, PROOF_SEEDS)
    return Plan(_within((cells_left - 2 * proof) / FINALISTS, SEARCH_SEEDS), proof)


def advise(
    cell: Cell,
    present: str,
    documents: Mapping[str, str],
    *,
    clock: Callable[[], float],
    budget_seconds: float,
    jobs: int = 0,
    on_progress: Callable[[float], None] = lambda _share: None,
) -> Advice:
    """`present` is one of `documents`. The budget is of `clock`, and kept about."""
    seeds = count(cell.seed)
    started = clock()
    arms = {name: replace(cell, policy=text) for name, text in documents.items()}
    progress = _Progress(on_progress, len(arms) + FINALISTS * SEARCH_SEEDS[1] + 2 * PROOF_SEEDS[1])
    first = compare(arms, _next(seeds, 1), jobs, progress.step)
    seconds = clock() - started
    figure = figure_for(first, present)
    planned = plan(len(arms) * (budget_seconds - seconds) / max(seconds, 1e-9))
    finalists = {name: arms[name] for name in ranked(first, figure, present)[:FINALISTS]}
    progress.expect(len(finalists) * planned.search + 2 * planned.proof)
    second = compare(finalists, _next(seeds, planned.search), jobs, progress.step)
    figure = figure_for(second if present in finalists else first, present)
    best = ranked(second, figure, present)[0]
    pair = {name: arms[name] for name in dict.fromkeys((present, best))}
    final = compare(pair, _next(seeds, planned.proof), jobs, progress.step)
    gain = _gain(final, best, present, figure)
    proven = best != present and gain.low > 0
    shown = best if proven else present
    means = {name: final.figure(shown, name).mean for name in final.outcomes[shown][0].as_dict()}
    scarce = bottleneck(means, objectives_of(cell).tpot_seconds)
    return Advice(present, best, figure, gain, proven, first, final, scarce)


def figure_for(comparison: Comparison, present: str) -> str:
    """Good answers; where nearly all are good already, how long an answer takes."""
    good = comparison.figure(present, "good_share").mean
    return "seconds_mean" if good >= ENOUGH_GOOD else "good_share"


def ranked(comparison: Comparison, figure: str, present: str) -> list[str]:
    """Best first. Of equals the present one, and then the one that answers sooner."""

    def key(arm: str) -> tuple[float, bool, float]:
        value = _better(figure, comparison.figure(arm, figure).mean)
        seconds = comparison.figure(arm, "seconds_mean").mean
        return (
            -math.inf if math.isnan(value) else value,
            arm == present,
            -math.inf if math.isnan(seconds) else -seconds,
        )

    return sorted(comparison.outcomes, key=key, reverse=True)


def _gain(comparison: Comparison, best: str, present: str, figure: str) -> Estimate:
    found = comparison.difference(best, present, figure)
    return Estimate(_better(figure, found.mean), found.half_width)


def _better(figure: str, value: float) -> float:
    return -value if figure == "seconds_mean" else value


def _within(wanted: float, limits: Sequence[int]) -> int:
    return max(limits[0], min(limits[1], int(wanted)))


def _next(seeds: Iterator[int], wanted: int) -> tuple[int, ...]:
    return tuple(islice(seeds, wanted))


class _Progress:
    """Shares of a work whose amount becomes known on the way."""

    def __init__(self, tell: Callable[[float], None], expected: int) -> None:
        self._tell = tell
        self._done = 0
        self._expected = expected

    def expect(self, more: int) -> None:
        self._expected = self._done + more

    def step(self) -> None:
        self._done += 1
        self._tell(self._done / self._expected)
