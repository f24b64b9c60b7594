"""One process of a cluster with its log; it dies with the session that started it."""

from __future__ import annotations

import ctypes
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.request import urlopen

from epp.local.processes import PR_SET_PDEATHSIG

STOP_SECONDS = 10.0
ANSWER_SECONDS = 10.0
POLL_SECONDS = 0.1
LOG_TAIL_CHARACTERS = 4000


class ProgramFailed(Exception):
    """A program ended, or does not get ready; with the end of its log."""


class Program:
    """The log stands in a file of its name; a restart continues it."""

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        self._name = name
        self._log = folder / f"{name}.log"
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raises ProgramFailed if it has ended."""
        code = self._process.poll()
        if code is not None:
            raise ProgramFailed(f"{self._name} ended with {code}:\n{self.tail()}")

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Raises ProgramFailed if it ends before that, or takes longer."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                text = f"{self._name} not ready after {seconds:g} s:\n{self.tail()}"
                raise ProgramFailed(text)
            time.sleep(POLL_SECONDS)  # noqa: TID251

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    def tail(self) -> str:
        return self._log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]


def answers(url: str, context: ssl.SSLContext | None = None) -> bool:
    """Whether the URL is answered with 200, now."""
    try:
        with urlopen(url, timeout=ANSWER_SECONDS, context=context) as answer:
            return bool(answer.status == 200)
    except OSError:  # refused, reset, or an HTTP status of what is not ready
        return False


def _die_with_parent() -> None:
    """At once: milder signals are blocked by unshare, and without etcd an API server never ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
