"""The tables of docs/scheduling.md.

`run` makes the runs that a file does not have yet, `report` prints the tables and fails where ours
is proven to have less goodput than a peer. `run --quick` is a subset for CI of a few minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from epp.simulation.laboratory.cell import Cell, simulate
from epp.simulation.laboratory.study import (
    FLEETS,
    LOADS,
    ORACLE,
    OURS,
    PEERS,
    REPORTED_SEEDS,
    WORKLOADS,
    Place,
    Verdict,
    judge,
    places,
    proven,
)
from epp.simulation.laboratory.workers import as_completed, worker_processes

Key = tuple[str, str, int, str, int]  # fleet, workload, load, policy, seed
QUICK = {
    "fleets": FLEETS[:1],
    "workloads": ("b2b-saas", "longmix", "azure-conversation"),
    "loads": (85,),
}
FIGURES = {"goodput": True, "ttft_p90": False}  # and whether more is better


def key_of(place: Place, policy: str, seed: int) -> Key:
    return place.fleet, place.workload, place.load, policy, seed


def run(path: Path, wanted: Sequence[tuple[Key, Cell]], jobs: int) -> None:
    known = {key for key, _ in read(path)}
    missing = [(key, cell) for key, cell in wanted if key not in known]
    path.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with path.open("a") as out, worker_processes(jobs) as submit:
        running = {submit(simulate, cell): key for key, cell in missing}
        for n, done in enumerate(as_completed(running), 1):
            outcome = done.result().as_dict()
            clean = {k: None if math.isnan(v) else v for k, v in outcome.items()}
            print(json.dumps([*running[done], clean]), file=out, flush=True)
            if n % 20 == 0 or n == len(missing):
                minutes = (time.monotonic() - began) / 60
                print(f"{n}/{len(missing)} runs, {minutes:.1f} minutes", file=sys.stderr)


def read(path: Path) -> Iterator[tuple[Key, dict[str, float]]]:
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        *key, figures = json.loads(line)
        yield tuple(key), {k: math.nan if v is None else v for k, v in figures.items()}


def report(path: Path, policies: Sequence[str]) -> list[Place]:
    """Prints the tables. Returns where ours is proven to have less goodput than a peer."""
    runs = dict(read(path))
    seeds = sorted({key[4] for key in runs})
    seen = sorted({key[:3] for key in runs}, key=_order)
    cells = [Place(*place) for place in seen]
    compared = [*policies, ORACLE] if any(key[3] == ORACLE for key in runs) else policies
    wanted = {key_of(c, policy, seed) for c in cells for policy in compared for seed in seeds}
    if not wanted:
        sys.exit(f"{path}: there are no runs in it: `run` first")
    if missing := wanted - runs.keys():
        sys.exit(f"{path}: {len(missing)} runs are missing, such as {min(missing)}: `run` first")
    for fleet in dict.fromkeys(place.fleet for place in cells):
        print(f"\n### {fleet}: share of good answers, %\n")
        print("| workload | load % |", " | ".join(policies), "|")
        print("|---|---|" + "---|" * len(policies))
        for place in cells:
            if place.fleet == fleet:
                shares = [_mean(runs, place, p, seeds, "good_share") for p in policies]
                best = max(shares)
                row = [f"**{100 * s:.1f}**" if s == best else f"{100 * s:.1f}" for s in shares]
                print(f"| {place.workload} | {place.load} |", " | ".join(row), "|")
    if ORACLE in compared:
        _print_gap(runs, cells, seeds)
    inferior: list[Place] = []
    if OURS not in policies or len(policies) < 2:
        return inferior  # nobody to compare with
    for name, higher in FIGURES.items():
        verdicts = [
            judge(
                place, _figures(runs, place, policies, seeds, name), name, higher_is_better=higher
            )
            for place in cells
        ]
        _print_verdicts(name, verdicts)
        if name == "goodput":
            inferior = proven(verdicts)["inferior"]
    return inferior


def _print_gap(
    runs: dict[Key, dict[str, float]], cells: Sequence[Place], seeds: Sequence[int]
) -> None:
    print("\n### ours against the oracle, which knows all and does not plan\n")
    print("| fleet | workload | load % | good %: oracle | ours | mean answer s: oracle | ours | |")
    print("|---|---|---|---|---|---|---|---|")
    longer: list[float] = []
    for place in cells:
        good, seconds = (
            [_mean(runs, place, p, seeds, name) for p in (ORACLE, OURS)]
            for name in ("good_share", "seconds_mean")
        )
        longer.append(seconds[1] / seconds[0] - 1.0)
        where = f"| {place.fleet} | {place.workload} | {place.load}"
        shares = " | ".join(f"{100 * share:.1f}" for share in good)
        times = " | ".join(f"{mean:.2f}" for mean in seconds)
        print(f"{where} | {shares} | {times} | {100 * longer[-1]:+.1f} % |")
    print(f"\nmean answers longer than the oracle's: {100 * sum(longer) / len(longer):+.1f} %")


def _print_verdicts(name: str, verdicts: Sequence[Verdict]) -> None:
    print(f"\n### {name}: ours against the best peer of each place\n")
    print("| fleet | workload | load % | best peer | its | ours | difference |")
    print("|---|---|---|---|---|---|---|")
    for v in verdicts:
        times = v.ours / v.theirs if v.theirs else math.inf
        change = f"{100 * (times - 1):+.1f} %" if times < 3 else f"{times:.0f} x"
        where = f"| {v.place.fleet} | {v.place.workload} | {v.place.load}"
        print(f"{where} | {v.best} | {v.theirs:.3f} | {v.ours:.3f} | {change} |")
    print()
    for word, found in proven(verdicts).items():
        print(f"{word}, with 95 % for all {len(verdicts)} places at once: {len(found)}")


def _figures(
    runs: dict[Key, dict[str, float]],
    place: Place,
    policies: Iterable[str],
    seeds: Sequence[int],
    name: str,
) -> dict[str, dict[str, list[float]]]:
    return {p: {name: [runs[key_of(place, p, s)][name] for s in seeds]} for p in policies}


def _mean(
    runs: dict[Key, dict[str, float]], place: Place, policy: str, seeds: Sequence[int], name: str
) -> float:
    return sum(runs[key_of(place, policy, seed)][name] for seed in seeds) / len(seeds)


def _order(place: tuple[str, str, int]) -> tuple[int, int, int]:
    fleet, workload, load = place
    return FLEETS.index(fleet), WORKLOADS.index(workload), load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["run", "report"])
    parser.add_argument("--out", type=Path, default=Path("build/policy-study.jsonl"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--light", action="store_true", help="first tokens are not seen")
    parser.add_argument("--seeds", type=int, nargs="+", default=REPORTED_SEEDS)
    parser.add_argument("--policies", nargs="+", default=(*PEERS, OURS, ORACLE))
    parser.add_argument("--workloads", nargs="+", default=WORKLOADS)
    parser.add_argument("--fleets", nargs="+", default=FLEETS)
    parser.add_argument("--loads", type=int, nargs="+", default=LOADS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    if given.action == "report":
        inferior = report(given.out, [name for name in given.policies if name != ORACLE])
        sys.exit(f"less goodput than a peer: {inferior}" if inferior else 0)
    chosen = (
        places(**QUICK)  # type: ignore[arg-type]
        if given.quick
        else places(given.fleets, given.workloads, given.loads)
    )
    seeds = given.seeds[:3] if given.quick else given.seeds
    wanted = [
        (
            key_of(place, policy, seed),
            replace(place.cell(policy, seed), sees_tokens=not given.light),
        )
        for place in chosen
        for seed in seeds
        for policy in given.policies
    ]
    run(given.out, wanted, given.jobs)


if __name__ == "__main__":
    main()
