"""How busy the processors were, from Linux's /proc: a saturated machine measures itself."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TICKS: Final = os.sysconf("SC_CLK_TCK")
BUSIEST: Final = 0.9  # of all cores; beyond it everything is late
BUSIEST_THREAD: Final = 0.85  # of one core, for processes that have a single busy thread


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU seconds so far."""

    at: float
    machine: float  # not idle, all cores
    processes: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Use:
    """Between two readings."""

    machine: float  # share of all cores
    processes: Mapping[str, float]  # cores

    def saturated(self, single_threaded: frozenset[str]) -> str:
        """What was at its limit, in words; empty if nothing was."""
        full = [
            f"{name} {cores:.2f} of its one core"
            for name, cores in self.processes.items()
            if name in single_threaded and cores > BUSIEST_THREAD
        ]
        if self.machine > BUSIEST:
            full.append(f"the machine {100 * self.machine:.0f} % of its cores")
        return ", ".join(full)


def read(processes: Mapping[str, int]) -> Reading:
    """Of processes by name and id. Raises OSError for one that is gone."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = _machine_ticks()
    busy = user + nice + system + irq + softirq + steal
    used = {name: _process_ticks(pid) / TICKS for name, pid in processes.items()}
    return Reading(time.monotonic(), busy / TICKS, used)


def between(before: Reading, after: Reading) -> Use:
    seconds = after.at - before.at
    cores = len(os.sched_getaffinity(0))
    return Use(
        (after.machine - before.machine) / (seconds * cores),
        {name: (used - before.processes[name]) / seconds for name, used in after.processes.items()},
    )


def _machine_ticks() -> tuple[int, ...]:
    line = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    return tuple(map(int, line.split()[1:9]))


def _process_ticks(pid: int) -> int:
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    fields = text.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
