"""Start, pin, watch and end the processes of a benchmark: none but those started here."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

Process = subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True)
class Cores:
    """Which cores the picker has, and which everything else has."""

    picker: frozenset[int]
    others: frozenset[int]

    @classmethod
    def of_this_machine(cls) -> Cores:
        """The picker gets one core for itself; with a single core nothing is separated."""
        usable = frozenset(os.sched_getaffinity(0))
        first = frozenset({min(usable)})
        return cls(first, usable - first) if len(usable) > 1 else cls(usable, usable)


@dataclass(slots=True)
class Processes:
    """The running ones, each with its log."""

    logs: Path
    running: list[Process] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str], cores: frozenset[int]) -> Process:
        with (self.logs / f"{name}.log").open("wb") as log, on(cores):
            # A group of its own, so that it can be ended with its children, but no session of its
            # own: the scheduler weighs sessions, and one that was raised must hold for all.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
            )
        self.running.append(process)
        return process

    def stop(self, process: Process | None) -> None:
        if process is None or process not in self.running:
            return
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.running.remove(process)

    def stop_all(self) -> None:
        for process in list(self.running):
            self.stop(process)

    def log(self, name: str) -> str:
        """The end of a log, for a message."""
        return (self.logs / f"{name}.log").read_text(errors="replace")[-1500:]


@contextmanager
def on(cores: frozenset[int]) -> Iterator[None]:
    """What is started inside runs on these cores, as do its children."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def as_command(text: str) -> list[str]:
    """A shell command whose process is the program itself, so that its id is the program's."""
    return ["sh", "-c", f"exec {text}"]


def quoted(*words: object) -> str:
    return shlex.join(str(word) for word in words)


def free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def wait_for_port(process: Process, address: str, port: int, limit_seconds: float = 30) -> bool:
    """False if the process ended, or the port did not open in time."""
    end = time.monotonic() + limit_seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection((address, port), 0.2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def end_on_sigterm() -> None:
    """SIGTERM unwinds like Ctrl-C, so that nothing started stays behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))


def tree(pid: int) -> list[int]:
    """The process and all its descendants now."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        fields = _stat(stat)
        if fields:
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a process tree, user and system."""
    ticks = 0
    for process in tree(pid):
        fields = _stat(Path(f"/proc/{process}/stat"))
        if fields:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    kib = 0
    for process in tree(pid):
        try:
            status = Path(f"/proc/{process}/status").read_text()
        except OSError:  # it has ended
            continue
        kib += sum(int(line.split()[1]) for line in status.splitlines() if "VmRSS:" in line)
    return round(kib / 1024, 1)


def _stat(path: Path) -> list[str]:
    """The fields after the name, from `state` on; empty when the process has ended."""
    try:
        text = path.read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 1 :].split()
