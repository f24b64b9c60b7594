"""The table of rough conditions in docs/scheduling.md: good answers in percent."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from epp.simulation.fleet.faults import parse_fault
from epp.simulation.laboratory.cell import Cell
from epp.simulation.laboratory.comparison import compare
from epp.simulation.laboratory.study import OURS, REPORTED_SEEDS, Place

POLICIES = ("blend", "sticky", "lmetric", OURS)
WORKLOADS = ("zipf", "chat")
FLEET = "8x32b-h100-tp2"
LOAD = 70  # percent: with a server less there must be room for all
EVERY_SERVER = range(8)

CONDITIONS: Mapping[str, Mapping[str, Any]] = {
    "nothing special": {},
    "first tokens and answers not seen (light mode)": {"sees_tokens": False},
    "scrapes every 15 s": {"scrape_seconds": 15.0},
    "no scrape for 30 s": {"faults": [f"blind:{n}@80=30" for n in EVERY_SERVER]},
    "one server at a fifth of its speed": {"faults": ["slow:0@0=5"]},
    "one server slows down to a fifth": {"faults": ["slow:0@80=5"]},
    "one server crashes for 20 s": {"faults": ["crash:0@90=20"]},
    "all caches lost": {"faults": [f"cold:{n}@80" for n in EVERY_SERVER]},
    "measured from cold caches on": {"warm": False},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=REPORTED_SEEDS)
    parser.add_argument("--workloads", nargs="+", default=WORKLOADS)
    parser.add_argument("--policies", nargs="+", default=POLICIES)
    given = parser.parse_args()
    for workload in given.workloads:
        print(f"\n| {workload} at {LOAD} % |", " | ".join(given.policies), "|")
        print("|---|" + "---|" * len(given.policies))
        for title, change in CONDITIONS.items():
            arms = {name: _cell(workload, name, change) for name in given.policies}
            found = compare(arms, given.seeds)
            shares = [100 * found.figure(name, "good_share").mean for name in given.policies]
            print(f"| {title} |", " | ".join(f"{share:.1f}" for share in shares), "|", flush=True)


def _cell(workload: str, policy: str, change: Mapping[str, Any]) -> Cell:
    cell = Place(FLEET, workload, LOAD).cell(policy, 0)
    given = dict(change)
    faults = tuple(parse_fault(fault) for fault in given.pop("faults", ()))
    return replace(cell, faults=faults, **given)


if __name__ == "__main__":
    main()
