"""The pool as a file says it, read at start and again whenever it changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from epp.datalayer.discovery.document import (
    MAX_FILE_BYTES,
    EndpointsFileError,
    decode_endpoints,
)
from epp.datalayer.store import EndpointSpec
from epp.datalayer.watched_file import Unreadable, follow, read_file

log = logging.getLogger(__name__)


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
        await follow(self._settings.path, self._settings.poll_seconds, self._reload)

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


def _read(path: Path) -> bytes:
    try:
        return read_file(path, MAX_FILE_BYTES)  # the decoder refuses what is longer
    except Unreadable as error:
        raise EndpointsFileError([str(error)]) from error


def _decode(content: bytes, path: Path) -> list[EndpointSpec]:
    return decode_endpoints(content, str(path))
