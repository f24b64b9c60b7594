"""Child processes that never outlive us: each gets its own session and dies with its parent."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
TAIL_BYTES = 4000


class ChildFailed(Exception):
    """A child ended by itself; the message says which one and shows the end of its log."""


def die_with_parent() -> None:
    """Runs in the child before its program: ask for a signal when the parent goes. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


@dataclass(slots=True)
class Child:
    name: str
    process: asyncio.subprocess.Process
    log: Path

    async def failed(self) -> None:
        """Returns only by raising: when the child has ended."""
        status = await self.process.wait()
        raise ChildFailed(f"{self.name} ended with status {status}:\n{self.tail()}")

    async def stop(self, signal_number: int, patience_seconds: float) -> None:
        """Ask, wait, then kill. Its whole session goes."""
        if self.process.returncode is None:
            self._signal(signal_number)
            try:
                async with asyncio.timeout(patience_seconds):
                    await self.process.wait()
            except TimeoutError:
                self._signal(signal.SIGKILL)
                await self.process.wait()

    def tail(self) -> str:
        with contextlib.suppress(OSError):
            data = self.log.read_bytes()
            return data[-TAIL_BYTES:].decode(errors="replace")
        return ""

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


async def start(name: str, command: Sequence[str], folder: Path) -> Child:
    """Call from the main thread: Envoy dies with the thread that started it. Output is kept."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    return Child(name, process, log)
