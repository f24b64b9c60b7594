"""Whether virtual time orders policies as real time does: the live check of docs/simulation.md.

`run` makes the runs that a file does not have yet, or has only of a saturated machine: each policy
in front of simulated servers behind a real Envoy, in real time, and the same requests in virtual
time. `report` prints both orders side by side, and fails where they are opposed or where the
machine was saturated.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from epp.local.live.client import NotTheSame
from epp.local.live.run import SEEN, run_live
from epp.local.processes import ChildFailed
from epp.local.stack import CannotStart
from epp.simulation.laboratory.cell import Cell, simulate
from epp.simulation.policies.catalogue import POLICIES, policy
from scripts.live_report import LIVE, VIRTUAL, Row, progress, report, verdict

DEFAULT: Final = "default"
POLICIES_SHOWN: Final = ("random", "least-request", "blend", "sticky", "lmetric", DEFAULT)
WORKLOAD, FLEET, RATE = "zipf", "3x8b-l40s", 6.0
TPOT_SECONDS: Final = 0.06  # an L40S needs 24 ms for one sequence, and 50 ms with 40
WARMUP_SECONDS, SECONDS = 20.0, 50.0
SEEDS: Final = (1, 2, 3)
LANES: Final = 3


def cell_of(given: argparse.Namespace, name: str, seed: int) -> Cell:
    return Cell(
        given.workload,
        given.fleet,
        given.rate,
        "" if name == DEFAULT else policy(name),
        seed=seed,
        sees_tokens=given.mode == "full",
        seconds=given.seconds,
        warmup_seconds=given.warmup_seconds,
        ttft_seconds=given.ttft_seconds,
        tpot_seconds=given.tpot_seconds,
    )


def run(given: argparse.Namespace) -> None:
    """Seed by seed, so that of a study that is cut short the first seeds are whole."""
    known = {
        (row["where"], row["policy"], row["seed"])
        for row in read(given)
        if not row.get("saturated")
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    live: deque[tuple[str, int]] = deque()
    for name, seed in [(name, seed) for seed in given.seeds for name in given.policies]:
        if (VIRTUAL, name, seed) not in known:
            keep(given, VIRTUAL, name, seed, in_virtual_time(cell_of(given, name, seed)))
        if (LIVE, name, seed) not in known:
            live.append((name, seed))
    asyncio.run(in_lanes(given, live))
    if live:
        sys.exit(f"stopped after {given.limit_minutes:g} minutes: `run` again for the rest")


async def in_lanes(given: argparse.Namespace, live: deque[tuple[str, int]]) -> None:
    """So many runs at a time, each with processes of its own. Leaves those it has no time for."""
    end = time.monotonic() + 60 * given.limit_minutes
    starting = asyncio.Lock()

    async def lane() -> None:
        while live and time.monotonic() < end:
            name, seed = live.popleft()
            made = await in_real_time(cell_of(given, name, seed), starting)
            keep(given, LIVE, name, seed, made)

    async with asyncio.TaskGroup() as group:
        for _ in range(given.lanes):
            group.create_task(lane())


def in_virtual_time(cell: Cell) -> Row:
    outcome = simulate(cell).as_dict()
    return {name: numbered(outcome[name]) for name in SEEN}


async def in_real_time(cell: Cell, starting: asyncio.Lock) -> Row:
    with tempfile.TemporaryDirectory(prefix="epp-live-") as folder:
        made = await run_live(cell, Path(folder), starting)
    outcome = made.outcome.as_dict()
    return {
        **{name: numbered(outcome[name]) for name in SEEN},
        "machine_cpu_share": round(made.use.machine, 3),
        "cores": {name: round(cores, 3) for name, cores in made.use.processes.items()},
        "latest_seconds": round(made.latest_seconds, 4),
        "saturated": made.saturated,
    }


def keep(given: argparse.Namespace, where: str, name: str, seed: int, made: Row) -> None:
    row = {"where": where, "policy": name, "seed": seed, **what(given), **made}
    with given.out.open("a") as out:
        print(json.dumps(row), file=out)
    print(progress(row), file=sys.stderr, flush=True)


def what(given: argparse.Namespace) -> Row:
    """All that rows must have in common to be compared."""
    shape = ("workload", "fleet", "rate", "mode", "lanes", "seconds", "warmup_seconds")
    return {name: getattr(given, name) for name in (*shape, "ttft_seconds", "tpot_seconds")}


def numbered(value: float) -> float | None:
    return None if math.isnan(value) else value


def read(given: argparse.Namespace) -> Iterator[Row]:
    """The rows of a study of just this kind, a later one in place of an earlier one.

    Others may be in the file too.
    """
    if given.out.exists():
        for line in given.out.read_text().splitlines():
            row = json.loads(line)
            if all(row[name] == value for name, value in what(given).items()):
                yield row


def leaves(group: ExceptionGroup[Exception]) -> Iterator[str]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from leaves(error)
        else:
            yield str(error)


def names(given: Sequence[str]) -> list[str]:
    if unknown := [name for name in given if name not in (*POLICIES, DEFAULT)]:
        sys.exit(f"no policy {unknown[0]!r}; there are {', '.join((*POLICIES, DEFAULT))}")
    return list(given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["run", "report"])
    parser.add_argument("--out", type=Path, default=Path("build/live-study.jsonl"))
    parser.add_argument("--json", type=Path, help="of `report`: what it says, for programs")
    parser.add_argument("--policies", nargs="+", default=POLICIES_SHOWN)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--workload", default=WORKLOAD)
    parser.add_argument("--fleet", default=FLEET, help="all of one profile")
    parser.add_argument("--rate", type=float, default=RATE, help="requests/s")
    parser.add_argument("--mode", choices=["full", "light"], default="full")
    parser.add_argument("--warmup-seconds", type=float, default=WARMUP_SECONDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that are measured")
    parser.add_argument("--ttft-seconds", type=float, help="objective; else the workload's")
    parser.add_argument("--tpot-seconds", type=float, default=TPOT_SECONDS, help="objective")
    parser.add_argument("--lanes", type=int, default=LANES, help="live runs at a time")
    parser.add_argument("--limit-minutes", type=float, default=15.0, help="start no run later")
    given = parser.parse_args()
    given.policies = names(given.policies)
    if given.action == "report":
        rows = {(row["where"], row["policy"], row["seed"]): row for row in read(given)}
        summary = {**what(given), **report(rows, given.policies, given.seeds)}
        if given.json:
            given.json.write_text(json.dumps(summary, indent=1))
        sys.exit(verdict(summary) or 0)
    try:
        run(given)
    except (CannotStart, ChildFailed) as error:
        sys.exit(str(error))
    except ExceptionGroup as group:
        ours, others = group.split((ChildFailed, NotTheSame))
        if others is not None or ours is None:
            raise
        sys.exit("\n".join(leaves(ours)))


if __name__ == "__main__":
    main()
