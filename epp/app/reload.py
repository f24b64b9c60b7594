"""Takes over a changed configuration document while requests go on.

It is read and decoded on a thread and applied in one step between two decisions. One that is wrong
changes nothing: the last good one stays in force.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from epp.admin.status import ConfigurationStatus
from epp.config.build import read_configuration
from epp.config.changes import changes, digest_of
from epp.config.errors import ConfigError
from epp.config.reload import takeover
from epp.config.settings import Configuration
from epp.datalayer.watched_file import Unreadable, follow, read_file
from epp.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 1 << 20  # a ConfigMap has no more
POLL_SECONDS = 0.5
TURN_SECONDS = 0.0005  # that requests wait for the interpreter while a thread decodes

# Puts a configuration in force, all or nothing.
Apply = Callable[[Configuration], None]


@dataclass(frozen=True, slots=True)
class ReloadSettings:
    path: Path | None  # None: the document is not from a file, so it never changes
    watch: bool = True  # else only where it is asked for
    poll_seconds: float = POLL_SECONDS


@dataclass(frozen=True, slots=True)
class _Examined:
    configuration: Configuration
    changes: Sequence[str]  # to the document in force
    digest: str


class ConfigurationReload:
    def __init__(
        self,
        settings: ReloadSettings,
        running: Configuration,
        apply: Apply,
        metrics: Metrics,
        wall_clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._running = running
        self._apply = apply
        self._metrics = metrics
        self._wall_clock = wall_clock
        self._examined: bytes | None = None  # the content that was looked at last
        self._asked = asyncio.Event()
        self._turn = asyncio.Lock()
        self._status = ConfigurationStatus(1, digest_of(running.document), wall_clock())
        self._publish()

    @property
    def status(self) -> ConfigurationStatus:
        return self._status

    def request(self) -> None:
        """Look at the file at once, whether it seems changed or not. Several at a time are one."""
        self._asked.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        path = self._settings.path
        async with asyncio.TaskGroup() as group:
            if path is not None and self._settings.watch:
                group.create_task(follow(path, self._settings.poll_seconds, self._look))
            while True:
                await self._asked.wait()
                self._asked.clear()
                if path is None:
                    log.warning("nothing to reload: the configuration is not from --config-file")
                else:
                    await self._look(asked=True)

    async def _look(self, *, asked: bool = False) -> None:
        assert self._settings.path is not None
        async with self._turn:
            await self._reload(self._settings.path, asked)

    async def _reload(self, path: Path, asked: bool) -> None:
        try:
            content = await asyncio.to_thread(read_file, path, MAX_FILE_BYTES)
            if content == self._examined and not asked:
                return
            self._examined = content
            with _beside_requests():
                found = await asyncio.to_thread(_examine, content, self._running.document)
            self._take(found, asked)
        except Unreadable as error:
            self._examined = None
            self._refuse((str(error),), asked)
        except ConfigError as error:
            self._refuse(error.problems, asked)
        except Exception as error:  # of a plugin that another package offers
            log.exception("bug: the configuration cannot be taken over")
            self._refuse((f"{type(error).__name__}: {error}",), asked)

    def _take(self, found: _Examined, asked: bool) -> None:
        if not found.changes:
            self._unchanged(asked)
            return
        wanted = takeover(self._running, found.configuration)
        self._apply(wanted.configuration)
        before, self._running = self._running, wanted.configuration
        self._status = ConfigurationStatus(
            self._status.generation + 1,
            found.digest,
            self._wall_clock(),
            needs_restart=wanted.needs_restart,
        )
        self._metrics.config_reloads.labels("applied").inc()
        self._publish()
        log.info(
            "configuration applied",
            extra={
                "generation": self._status.generation,
                "digest": self._status.digest,
                "changes": found.changes,
            },
        )
        for key in wanted.needs_restart:
            log.warning("%s has changed: that needs a restart, the old value stays", key)
        for difference in found.configuration.differences:
            if difference not in before.differences:
                log.info("differs from the Go picker: %s", difference)

    def _unchanged(self, asked: bool) -> None:
        if self._status.problem:
            log.warning("the configuration is good again: it is the one in force")
            self._status = replace(self._status, problem="")
            self._publish()
        elif asked:
            log.info("the configuration says what is in force already")

    def _refuse(self, problems: tuple[str, ...], asked: bool) -> None:
        self._metrics.config_reloads.labels("invalid").inc()
        text = "\n".join(problems)
        if asked or text != self._status.problem:
            for problem in problems:
                log.error("configuration not applied, the last good one stays: %s", problem)
        self._status = replace(self._status, problem=text)
        self._publish()

    def _publish(self) -> None:
        metrics, status = self._metrics, self._status
        metrics.config_generation.labels().set(status.generation)
        metrics.config_applied_at.labels().set(status.applied_at)
        metrics.config_is_good.labels().set(0.0 if status.problem else 1.0)
        metrics.config_needs_restart.labels().set(1.0 if status.needs_restart else 0.0)


@contextlib.contextmanager
def _beside_requests() -> Iterator[None]:
    """A thread that works for a while takes short turns, and sets off no collection of garbage.

    It would look through the whole document in the making, which stalls every thread.
    """
    turn, collects = sys.getswitchinterval(), gc.isenabled()
    sys.setswitchinterval(TURN_SECONDS)
    gc.disable()
    try:
        yield
    finally:
        sys.setswitchinterval(turn)
        if collects:
            gc.enable()


def _examine(content: bytes, running: Mapping[str, Any]) -> _Examined:
    """Takes a while, so not on the event loop. Raises ConfigError."""
    configuration = _decode(content)
    document = configuration.document
    return _Examined(configuration, changes(running, document), digest_of(document))


def _decode(content: bytes) -> Configuration:
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError([f"document: more than {MAX_FILE_BYTES} bytes"])
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError([f"document: {error}"]) from None
    return read_configuration(text)
