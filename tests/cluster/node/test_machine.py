"""The machine of a node is apart from this one, and nothing of it outlives its session."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.build import Built
from tests.cluster.node.cgroups import ROOT
from tests.cluster.node.machine import Machine
from tests.cluster.program import Program
from tests.cluster.waiting import eventually

SECONDS = 10.0
LINKS = Path("/sys/class/net")
REPOSITORY = Path(__file__).parents[3]
# A session that starts a machine, says its name, and is then killed.
SESSION = """
import sys, time
from pathlib import Path
from tests.cluster.node.machine import Machine
machine = Machine(Path(sys.argv[1]), Path(sys.argv[2]))
machine.start()
print(machine.addresses.link, flush=True)
time.sleep(60)
"""


@pytest.fixture
def machine(built: Built, tmp_path: Path) -> Iterator[Machine]:
    found = Machine(tmp_path, built.pause)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def test_what_runs_there_ends_with_it(machine: Machine, tmp_path: Path) -> None:
    link, cgroup = LINKS / machine.addresses.link, machine.cgroup[1:]
    sleeper = Program("sleep", machine.inside("sleep", "1000"), tmp_path)
    children = Path(f"/proc/{sleeper.pid}/task/{sleeper.pid}/children")
    sleeper.wait_until(lambda: bool(children.read_text()), SECONDS)
    [sleeping] = [Path("/proc") / child for child in children.read_text().split()]
    assert link.exists()
    assert list(ROOT.glob(f"**/{cgroup}"))

    machine.stop()

    assert not sleeping.exists()
    assert not link.exists()
    assert not list(ROOT.glob(f"**/{cgroup}"))
    sleeper.kill()


def test_what_kubelet_sets_there_is_not_set_here(machine: Machine) -> None:
    setting = Path("/proc/sys/kernel/panic")
    before = setting.read_text()
    there = machine.inside("sh", "-c", f"echo 77 > {setting} && cat {setting}")
    assert subprocess.check_output(there, text=True, timeout=10) == "77\n"
    assert setting.read_text() == before


def test_it_does_not_outlive_a_session_that_is_killed(built: Built, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SESSION, str(tmp_path), str(built.pause)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as session:
        assert session.stdout is not None
        name = session.stdout.readline().strip()
        session.kill()
    assert name
    asyncio.run(eventually("its link is gone", lambda: not (LINKS / name).exists()))
    for cgroup in ROOT.glob(f"**/{name}"):
        cgroup.rmdir()
