"""Run cells on all processors and put what they come to in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from epp.simulation.fleet.outcome import Outcome
from epp.simulation.laboratory.cell import Cell, simulate
from epp.simulation.laboratory.statistics import Estimate, estimate, paired
from epp.simulation.laboratory.workers import as_completed, worker_processes


@dataclass(slots=True)
class Comparison:
    """Outcomes of each arm, in the order of `seeds`."""

    seeds: tuple[int, ...]
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)

    def figure(self, arm: str, name: str) -> Estimate:
        return estimate(self.values(arm, name))

    def difference(self, arm: str, other: str, name: str) -> Estimate:
        """`arm` minus `other`, paired by seed."""
        return paired(self.values(arm, name), self.values(other, name))

    def values(self, arm: str, name: str) -> list[float]:
        return [float(getattr(outcome, name)) for outcome in self.outcomes[arm]]


def compare(
    arms: Mapping[str, Cell],
    seeds: Sequence[int],
    jobs: int = 0,
    on_progress: Callable[[], None] = lambda: None,
) -> Comparison:
    """Every arm with every seed. `jobs` processes, 0 for one a processor."""
    cells = [
        (arm, place, replace(cell, seed=seed))
        for arm, cell in arms.items()
        for place, seed in enumerate(seeds)
    ]
    found: dict[tuple[str, int], Outcome] = {}
    workers = min(len(cells), jobs or os.cpu_count() or 1)
    if workers == 1:
        for arm, place, cell in cells:
            found[arm, place] = simulate(cell)
            on_progress()
    else:
        with worker_processes(workers) as submit:
            running = {submit(simulate, cell): (arm, place) for arm, place, cell in cells}
            for done in as_completed(running):
                found[running[done]] = done.result()
                on_progress()
    result = Comparison(tuple(seeds))
    for arm in arms:
        result.outcomes[arm] = [found[arm, place] for place in range(len(seeds))]
    return result
