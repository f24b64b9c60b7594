"""Tells when a file may have changed, and reads it.

The file is polled, not watched by inotify: a `stat` a few times a second costs nothing, sees every
kind of change (rename in place, remove and create later, the `..data` link of a mounted
ConfigMap) in the same way, and works on network and overlay file systems, where events get lost.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

Signature = tuple[int, int, int, int]  # mtime in ns, size, inode, device
_UNSEEN: Signature = (-1, -1, -1, -1)


class Unreadable(Exception):
    """Why a file cannot be read; the message begins with its path."""


async def follow(
    path: Path, poll_seconds: float, changed: Callable[[], Awaitable[None]]
) -> NoReturn:
    """Call `changed` soon, since the file may have changed before, and after every change.

    Runs until cancelled. Only what has stood still for one look is told: a file that is just being
    written may be a valid one with half of its content.
    """
    known: Signature | None = _UNSEEN  # the state of the file that was told last
    before: Signature | None = _UNSEEN
    while True:
        await asyncio.sleep(poll_seconds)
        seen = await asyncio.to_thread(_signature, path)
        if seen == before and seen != known:
            await changed()
            # What changed meanwhile may have been read in parts, so it is told once more.
            after = await asyncio.to_thread(_signature, path)
            known = seen if after == seen else _UNSEEN
        before = seen


def read_file(path: Path, max_bytes: int) -> bytes:
    """At most one byte more than the limit, for the caller to refuse. Raises Unreadable."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Unreadable(f"{path}: not a regular file")
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror or error}") from error


def _signature(path: Path) -> Signature | None:
    """Changes whenever the content may have; None if there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev)
