"""The log format: one JSON object a line on standard error, written by a thread of its own.

A reader that is slow or stuck must not stall the event loop, so lines wait in a bounded backlog.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from dataclasses import dataclass

from epp.core.json_text import dumps

# Attributes that every LogRecord has; what else is on one came as a field of ours.
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
BACKLOG_LINES = 20_000
BATCH_LINES = 200
GATHER_SECONDS = 0.05


class LineWriter:
    """Takes lines from any thread and writes them to a file descriptor, in order."""

    def __init__(self, descriptor: int = 2) -> None:
        self.dropped = 0  # lines lost because the reader did not keep up
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque()
        self._some = threading.Event()
        self._told = False  # whether `_some` is set, which is asked for every line
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write, name="log writer", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        if len(self._lines) >= BACKLOG_LINES:
            self.dropped += 1
            return
        self._lines.append(line)
        if not self._told:  # else the thread has not begun to look for lines
            self._told = True
            self._some.set()

    def close(self, timeout_seconds: float = 2.0) -> None:
        """Write what is left, within a time."""
        self._closing.set()
        self._some.set()
        self._thread.join(timeout_seconds)

    def _write(self) -> None:
        while not (self._closing.is_set() and not self._lines):
            self._some.wait()
            # Woken once a while and not once a line: waking takes the interpreter from the loop.
            self._closing.wait(GATHER_SECONDS)
            self._some.clear()
            self._told = False
            while self._lines:
                count = min(len(self._lines), BATCH_LINES)
                self._write_batch(b"".join(self._lines.popleft() for _ in range(count)), count)

    def _write_batch(self, data: bytes, count: int) -> None:
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            self.dropped += count  # nobody reads any more; there is nowhere to say so


class JsonLines(logging.Formatter):
    """Fields given as `extra` stand beside level, ts (seconds), logger and msg."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "level": record.levelname.lower(),
            "ts": round(record.created, 6),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        line.update((k, v) for k, v in vars(record).items() if k not in STANDARD)
        if record.exc_info:
            line["stacktrace"] = self.formatException(record.exc_info)
        return dumps(line, str).decode()


class PlainLines(logging.Formatter):
    """For a person at a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")


class WriterHandler(logging.Handler):
    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.put(self.format(record).encode(errors="replace") + b"\n")
        except Exception:
            self.handleError(record)


@dataclass(frozen=True, slots=True)
class Threshold:
    """What is logged."""

    level: int  # of `logging`
    requests: bool  # a line a request


def threshold(verbosity: int, zap_level: str = "") -> Threshold:
    """Go's `-v`: 0 is warnings, 1 to 3 info, more is debug; from 2 on with a line a request.

    `zap_level`, where given, is a word that means what it says, or a number that wins over `-v`.
    """
    match zap_level:
        case "error":
            return Threshold(logging.ERROR, requests=False)
        case "panic":
            return Threshold(logging.CRITICAL, requests=False)
        case "info":
            verbosity = 1
        case "debug":
            verbosity = 4
        case "":
            pass
        case number:
            verbosity = int(number)
    if verbosity <= 0:
        return Threshold(logging.WARNING, requests=False)
    return Threshold(logging.INFO if verbosity < 4 else logging.DEBUG, requests=verbosity >= 2)


def configure(level: int, writer: LineWriter, *, plain: bool = False) -> None:
    handler = WriterHandler(writer)
    handler.setFormatter(PlainLines() if plain else JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("aiohttp.access", "asyncio", "hpack"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
