"""Find the rates of `epp/simulation/laboratory/capacity.py`: where nine of ten answers are good.

Prints a line for each fleet and workload. Takes a quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from epp.simulation.fleet.servers import parse_fleet
from epp.simulation.laboratory.cell import Cell, simulate
from epp.simulation.policies.catalogue import POLICIES, policy
from epp.simulation.workloads.catalogue import CATALOGUE

FLEETS = ("8x32b-h100-tp2", "4x8b-h100+4x8b-a100")
GOOD_SHARE = 0.9
CLOSE_ENOUGH = 0.03


def find(cell: Cell, seeds: int) -> float:
    """Requests per second, by halving between a rate that is good and one that is not."""
    low, high = 0.0, 1.0 * len(parse_fleet(cell.fleet).profiles)
    while good_share(replace(cell, rate=high), seeds) >= GOOD_SHARE:
        low, high = high, 2 * high
    while high - low > CLOSE_ENOUGH * high:
        middle = (low + high) / 2
        if good_share(replace(cell, rate=middle), seeds) >= GOOD_SHARE:
            low = middle
        else:
            high = middle
    return low


def good_share(cell: Cell, seeds: int) -> float:
    outcomes = [simulate(replace(cell, seed=1000 + n)) for n in range(seeds)]
    return sum(outcome.good_share for outcome in outcomes) / seeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fleets", nargs="+", default=FLEETS)
    parser.add_argument("--workloads", nargs="+", default=list(CATALOGUE))
    parser.add_argument("--policy", default="default", help="a name, or a file")
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    name = arguments.policy
    if name == "default":
        text = ""
    else:
        text = policy(name) if name in POLICIES else Path(name).read_text(encoding="utf-8")
    cells = [Cell(w, f, 0.0, text) for f in arguments.fleets for w in arguments.workloads]
    with ProcessPoolExecutor() as pool:
        found = pool.map(find, cells, [arguments.seeds] * len(cells))
        for cell, rate in zip(cells, found, strict=True):
            print(f"{cell.fleet:24} {cell.workload:20} {rate:.1f}", flush=True)


if __name__ == "__main__":
    main()
