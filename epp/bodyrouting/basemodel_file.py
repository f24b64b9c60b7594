"""The base models as a file says them, read at start and again whenever it changes.

Polled, so that a rename in place, a removal and the `..data` link of a mounted ConfigMap are all
seen in the same way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from epp.bodyrouting.basemodel_documents import MAX_TEXT_BYTES, decode_document
from epp.bodyrouting.basemodels import Entries
from epp.config.errors import ConfigError

log = logging.getLogger(__name__)


class BaseModelFileError(Exception):
    """What is wrong with the file, one problem a line, each with its place."""


class BaseModelFile:
    """A file that goes bad keeps the last good content; each distinct problem is logged once."""

    def __init__(
        self, path: Path, publish: Callable[[Entries], object], poll_seconds: float = 0.5
    ) -> None:
        self._path = path
        self._publish = publish
        self._poll_seconds = poll_seconds
        self._examined = b""  # the content that was decoded last
        self._good = b""  # the content in use
        self._problem = ""  # the one that was logged last, empty if the file is good

    async def load(self) -> None:
        """The first reading. Raises BaseModelFileError, which is for the user to see."""
        self._examined = await asyncio.to_thread(_read, self._path)
        await self._take(self._examined)

    async def run(self) -> None:
        """Follow the file until cancelled. To be called after `load`."""
        before = self._examined
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                seen = await asyncio.to_thread(_read, self._path)
                # What changed since the last look may be half written.
                if seen == before and seen != self._examined:
                    self._examined = seen
                    await self._take(seen)
                    log.info("base model file loaded", extra={"path": str(self._path)})
                before = seen
            except BaseModelFileError as error:
                self._report(str(error))
            else:
                if before == self._good:
                    self._report("")

    async def _take(self, content: bytes) -> None:
        self._publish(await asyncio.to_thread(_decode, content, self._path))
        self._good = content

    def _report(self, problem: str) -> None:
        if problem == self._problem:
            return
        extra = {"path": str(self._path)}
        if problem:
            log.warning("base model file is bad, the last good one stays: %s", problem, extra=extra)
        else:
            log.info("base model file is good again", extra=extra)
        self._problem = problem


def _read(path: Path) -> bytes:
    """At most what is too much already."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise BaseModelFileError(f"{path}: {error.strerror}") from None


def _decode(content: bytes, path: Path) -> Entries:
    try:
        return decode_document(content)
    except ConfigError as error:
        raise BaseModelFileError(
            "\n".join(f"{path}: {problem}" for problem in error.problems)
        ) from None
