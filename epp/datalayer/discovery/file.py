"""The pool as a file says it, read at start and again whenever it changes.

The file is polled, not watched by inotify: a `stat` four times a second costs nothing, sees every
kind of change (rename in place, remove and create later, the `..data` link of a mounted
ConfigMap) in the same way, and works on network and overlay file systems, where events get lost.
"""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from epp.datalayer.discovery.document import (
    MAX_FILE_BYTES,
    EndpointsFileError,
    decode_endpoints,
)
from epp.datalayer.store import EndpointSpec

log = logging.getLogger(__name__)

Signature = tuple[int, int, int, int]  # mtime in ns, size, inode, device
_UNSEEN: Signature = (-1, -1, -1, -1)


@dataclass(frozen=True, slots=True)
class FileDiscoverySettings:
    path: Path
    watch_file: bool = False
    poll_seconds: float = 0.25


class FileDiscovery:
    """A file that goes bad keeps the last good pool; each distinct problem is logged once."""

    def __init__(
        self,
        settings: FileDiscoverySettings,
        publish: Callable[[Sequence[EndpointSpec]], object],
    ) -> None:
        self._settings = settings
        self._publish = publish
        self._content: bytes | None = None  # of the last good file
        self._problem = ""  # the one that was logged last, empty if the file is good

    async def load(self) -> None:
        """The first reading. Raises EndpointsFileError, which is for the user to see."""
        self._content = await asyncio.to_thread(_read, self._settings.path)
        self._publish(await asyncio.to_thread(_decode, self._content, self._settings.path))

    async def run(self) -> None:
        """Follow the file, if so configured, until cancelled. To be called after `load`."""
        if not self._settings.watch_file:
            await asyncio.Event().wait()
        known: Signature | None = _UNSEEN  # the state of the file that was read last
        before: Signature | None = _UNSEEN
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            seen = await asyncio.to_thread(_signature, self._settings.path)
            # Only what has stood still since the look before is read: a file that is just being
            # written may be a valid one with half of the endpoints.
            if seen == before and seen != known:
                await self._reload()
                # What changed meanwhile may have been read in parts, so it is read once more.
                after = await asyncio.to_thread(_signature, self._settings.path)
                known = seen if after == seen else _UNSEEN
            before = seen

    async def _reload(self) -> None:
        path = self._settings.path
        try:
            content = await asyncio.to_thread(_read, path)
            if content == self._content:
                specs = None
            else:
                specs = await asyncio.to_thread(_decode, content, path)
        except EndpointsFileError as error:
            self._report(str(error))
            return
        self._report("")
        if specs is not None:
            self._content = content
            self._publish(specs)
            log.info("endpoints file loaded", extra={"path": str(path), "endpoints": len(specs)})

    def _report(self, problem: str) -> None:
        if problem == self._problem:
            return
        extra = {"path": str(self._settings.path)}
        if problem:
            log.warning("endpoints file is bad, the last good one stays: %s", problem, extra=extra)
        else:
            log.warning("endpoints file is good again", extra=extra)
        self._problem = problem


def _signature(path: Path) -> Signature | None:
    """Changes whenever the content may have; None if there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev)


def _read(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise EndpointsFileError([f"{path}: not a regular file"])
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)  # the decoder refuses what is longer
    except OSError as error:
        raise EndpointsFileError([f"{path}: {error.strerror or error}"]) from error


def _decode(content: bytes, path: Path) -> list[EndpointSpec]:
    return decode_endpoints(content, str(path))
