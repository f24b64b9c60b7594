"""Processes that work for this one, and end with it: when it is done, interrupted or killed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Final, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

LONGEST_WAIT_SECONDS: Final = 0.25


class Submit(Protocol):
    def __call__(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]: ...


@contextmanager
def worker_processes(count: int) -> Iterator[Submit]:
    """What leaves the block by an exception, Ctrl-C too, ends the processes in what they do."""
    # Nothing is ever written to it. That nobody holds its end any more is what workers wait for,
    # and the kernel sees to that however this process ends.
    watched, held = Pipe(duplex=False)
    with (
        watched,
        held,
        ProcessPoolExecutor(count, initializer=_begin, initargs=(watched, held)) as pool,
    ):

        def submit(work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
            with _interrupt_later():
                return pool.submit(work, *args, **kwargs)

        try:
            yield submit
        except BaseException:
            held.close()
            raise


def as_completed(futures: Iterable[Future[R]]) -> Iterator[Future[R]]:
    """All of them, each soon after it is done. Ctrl-C is heard meanwhile, whenever it comes.

    A signal between the interpreter's last look and the sleep of its thread wakes nobody, and
    the waits of `concurrent.futures` would go on until something is done.
    """
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, LONGEST_WAIT_SECONDS, FIRST_COMPLETED)
        yield from done


@contextmanager
def _interrupt_later() -> Iterator[None]:
    """Processes are started in here: an interrupt in the middle of a fork is lost in its hooks."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no interrupt comes here
        return
    interrupts: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: interrupts.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if interrupts:
            signal.raise_signal(signal.SIGINT)


def _begin(watched: Connection, held: Connection) -> None:
    """Runs in a worker first. Ctrl-C reaches it too, and is for its parent to act on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    held.close()
    threading.Thread(target=_end_with_parent, args=(watched,), daemon=True).start()


def _end_with_parent(watched: Connection) -> None:
    watched.poll(None)  # until the other end is closed
    os._exit(1)
