from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread, get_ident

import pytest

from epp.simulation.laboratory.workers import as_completed, worker_processes

LONG = ("--workload", "chat", "--fleet", "8x8b-h100", "--rate", "50", "--seconds", "100000")


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def gone(pid: int) -> bool:
    """Ended, if perhaps not yet reaped by whoever is its parent now."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until_gone(pids: list[int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not all(map(gone, pids)):
        assert time.monotonic() < deadline, "a worker is still there"
        Event().wait(0.02)


@pytest.fixture
def running() -> Iterator[subprocess.Popen[bytes]]:
    """`epp sim` at work for hours, in a process group of its own as a terminal would have it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "epp", "sim", *LONG, "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(children(process.pid)) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        Event().wait(0.02)
    yield process
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("whole_group", [True, False], ids=["ctrl-c", "kill -INT"])
@pytest.mark.parametrize("after_seconds", [0.0, 1.0])
def test_one_interrupt_ends_everything(
    running: subprocess.Popen[bytes], whole_group: bool, after_seconds: float
) -> None:
    Event().wait(after_seconds)
    workers = children(running.pid)
    (os.killpg if whole_group else os.kill)(running.pid, signal.SIGINT)
    output, _ = running.communicate(timeout=10)
    assert running.returncode == 1
    assert output.decode().split() == ["Aborted!"]
    wait_until_gone(workers, 5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_a_killed_parent(
    running: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    workers = children(running.pid)
    running.send_signal(number)
    running.communicate(timeout=10)
    wait_until_gone(workers, 10)


def test_an_interrupt_that_wakes_nobody_is_heard() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    endless: Future[None] = Future()
    ended = Event()

    def interrupt_elsewhere() -> None:
        Event().wait(0.1)
        signal.pthread_kill(get_ident(), signal.SIGINT)
        if not ended.wait(10):
            endless.set_result(None)

    thread = Thread(target=interrupt_elsewhere)

    def wait_for_it() -> None:
        thread.start()  # in here, for the interrupt may come at once
        list(as_completed([endless]))

    with pytest.raises(KeyboardInterrupt):
        wait_for_it()
    ended.set()
    thread.join()
    assert not endless.done()


def test_work_is_handed_over_in_the_order_in_which_it_is_done() -> None:
    slow: Future[int] = Future()
    quick: Future[int] = Future()
    done = as_completed([slow, quick])
    quick.set_result(1)
    assert next(done) is quick
    slow.set_result(2)
    assert list(done) == [slow]


def test_work_is_done_and_a_failure_of_it_does_not_wait_for_the_rest() -> None:
    with worker_processes(2) as submit:
        assert submit(math.sqrt, 4.0).result() == 2.0
    with pytest.raises(ValueError, match="math domain error"):
        fail_beside_endless_work()


def fail_beside_endless_work() -> None:
    with worker_processes(2) as submit:
        submit(signal.pause)
        submit(math.sqrt, -1.0).result()
