"""Policies on workloads and fleets that nobody chose: drawn by number, not used for any tuning.

`run` makes the runs that a file does not have yet, `report` prints what they come to. A draw is a
workload, a fleet, the age of scrapes and the mode; its rate is where nine of ten answers of the
better of two good policies are good.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from statistics import fmean

from epp.simulation.laboratory.cell import Cell, simulate
from epp.simulation.laboratory.study import MARGIN, OURS, PEERS
from epp.simulation.laboratory.workers import as_completed, worker_processes
from epp.simulation.policies.catalogue import policy
from epp.simulation.profiles import PROFILES
from epp.simulation.workloads.drawn import drawn_kinds, mean_prompt_tokens

REPORTED_DRAWS = (1001, 1040)  # first and last; tuning may use others
LOADS = (70, 95, 115)  # percent
SEEDS = (1, 2)
SEEN_BY = (OURS, "sticky")  # who looks for the rate
SEARCH_SEED = 1001
GOOD_SHARE = 0.9
CLOSE_ENOUGH = 0.06
LEAST_RATE = 0.3  # below, too few are asked for a figure
# One model on one or more kinds of accelerators.
KINDS_OF_SERVERS = (
    ("32b-h100-tp2",),
    ("8b-h100",),
    ("8b-a100",),
    ("8b-h100", "8b-a100"),
    ("8b-h100", "8b-a100", "8b-l40s"),
    ("8b-l40s", "8b-l4"),
    ("70b-h100-tp4", "70b-h100-tp8"),
)

Figures = Mapping[str, float]
# Of one draw: its rate, and by load and policy the means over the seeds.
Found = tuple[int, float, Mapping[str, Mapping[str, Figures]]]


def drawn_cell(number: int) -> Cell:
    """Without a rate. The objectives are those of the slowest server of the fleet."""
    rng = Random(f"fleet {number}")
    kinds = rng.choice(KINDS_OF_SERVERS)
    servers = [rng.choice(kinds) for _ in range(rng.choice((2, 4, 8, 8, 16)))]
    fleet = "+".join(f"{servers.count(kind)}x{kind}" for kind in sorted(set(servers)))
    prompt = round(mean_prompt_tokens(drawn_kinds(number)))
    slowest = [PROFILES[kind] for kind in set(servers)]
    prefill = max(p.step_seconds(prompt, 1, 0.0, prompt * prompt / 2) for p in slowest)
    decode = max(p.step_seconds(16, 16, 16.0 * prompt, 0.0) for p in slowest)
    return Cell(
        f"drawn-{number}",
        fleet,
        0.0,
        "",
        scrape_seconds=rng.choice((0.05, 0.05, 1.0, 5.0)),
        sees_tokens=rng.random() < 0.7,
        ttft_seconds=1.0 + 4 * prefill,
        tpot_seconds=3 * decode,
    )


def find_rate(cell: Cell) -> float:
    """Requests per second, by halving between a rate that is good and one that is not."""
    low, high = 0.0, 2.0
    while _good_share(replace(cell, rate=high)) >= GOOD_SHARE:
        low, high = high, 2 * high
    while high - low > CLOSE_ENOUGH * high and high > LEAST_RATE / 2:
        middle = (low + high) / 2
        if _good_share(replace(cell, rate=middle)) >= GOOD_SHARE:
            low = middle
        else:
            high = middle
    return low


def _good_share(cell: Cell) -> float:
    cells = [replace(cell, policy=_text(name), seed=SEARCH_SEED) for name in SEEN_BY]
    return max(simulate(each).good_share for each in cells)


def _text(name: str) -> str:
    return "" if name == OURS else policy(name)


def study(number: int, policies: Sequence[str]) -> Found:
    """Nothing but the rate where that is too low."""
    cell = drawn_cell(number)
    rate = find_rate(cell)
    if rate < LEAST_RATE:
        return number, rate, {}
    found = {
        str(load): {
            name: _means(replace(cell, rate=rate * load / 100, policy=_text(name)))
            for name in policies
        }
        for load in LOADS
    }
    return number, rate, found


def _means(cell: Cell) -> Figures:
    outcomes = [simulate(replace(cell, seed=seed)).as_dict() for seed in SEEDS]
    return {
        name: fmean(outcome[name] for outcome in outcomes)
        for name in ("good_share", "ttft_p90", "seconds_mean")
    }


def run(path: Path, draws: Iterable[int], policies: Sequence[str], jobs: int) -> None:
    known = {number for number, _, _ in read(path)}
    missing = [number for number in draws if number not in known]
    path.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with path.open("a") as out, worker_processes(jobs) as submit:
        running = {submit(partial(study, policies=policies), n): n for n in missing}
        for done, future in enumerate(as_completed(running), 1):
            print(json.dumps(future.result()), file=out, flush=True)
            minutes = (time.monotonic() - began) / 60
            print(f"{done}/{len(missing)} draws, {minutes:.1f} minutes", file=sys.stderr)


def read(path: Path) -> Iterator[Found]:
    if path.exists():
        for line in path.read_text().splitlines():
            number, rate, found = json.loads(line)
            yield number, rate, found


def report(path: Path, draws: Iterable[int], policies: Sequence[str]) -> None:
    wanted = set(draws)
    found = sorted(draw for draw in read(path) if draw[0] in wanted)
    if missing := wanted - {number for number, _, _ in found}:
        sys.exit(f"{path}: {len(missing)} draws are missing, such as {min(missing)}: `run` first")
    used = [draw for draw in found if draw[2]]
    print(f"{len(used)} draws; {len(found) - len(used)} passed over, of too few requests\n")
    print("| load % |", " | ".join(policies), "| best of a place |")
    print("|---|" + "---|" * (len(policies) + 1))
    for load in LOADS:
        shares = [[draw[2][str(load)][p]["good_share"] for p in policies] for draw in used]
        means = [f"{100 * fmean(column):.1f}" for column in zip(*shares, strict=True)]
        best = 100 * fmean(max(row) for row in shares)
        print(f"| {load} |", " | ".join(means), f"| {best:.1f} |")
    for load in LOADS:
        _report_places(load, used, [name for name in policies if name != OURS])


def _report_places(load: int, used: Sequence[Found], peers: Sequence[str]) -> None:
    """Ours against the best peer of every draw, and where it is furthest behind."""
    places = []
    for number, rate, by_load in used:
        at = by_load[str(load)]
        best = max(peers, key=lambda name: at[name]["good_share"])
        places.append((at[OURS]["good_share"], at[best]["good_share"], best, number, rate))
    better = sum(ours > theirs * (1 + MARGIN) for ours, theirs, *_ in places)
    worse = sum(ours < theirs * (1 - MARGIN) for ours, theirs, *_ in places)
    print(f"\n{load} %: more good answers than the best peer of the draw by over 3 %: {better},")
    print(f"fewer by over 3 %: {worse}, within: {len(places) - better - worse}")
    for ours, theirs, best, number, rate in sorted(places, key=lambda p: p[0] - p[1])[:5]:
        cell = drawn_cell(number)
        mode = "full" if cell.sees_tokens else "light"
        print(
            f"  draw {number}: {100 * ours:.1f} against {100 * theirs:.1f} of {best}"
            f" ({cell.fleet}, {rate * load / 100:.1f}/s, {mode}, scrapes {cell.scrape_seconds} s)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["run", "report"])
    parser.add_argument("--out", type=Path, default=Path("build/drawn-study.jsonl"))
    parser.add_argument("--draws", type=int, nargs=2, default=REPORTED_DRAWS, help="first and last")
    parser.add_argument("--policies", nargs="+", default=(*PEERS, OURS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    draws = range(given.draws[0], given.draws[1] + 1)
    if given.action == "run":
        run(given.out, draws, given.policies, given.jobs)
    else:
        report(given.out, draws, given.policies)


if __name__ == "__main__":
    main()
