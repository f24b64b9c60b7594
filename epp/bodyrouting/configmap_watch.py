"""Follows the ConfigMaps with base models. What was known stays, whatever becomes of the server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from epp.bodyrouting.basemodels import Entries
from epp.bodyrouting.configmaps import SELECTORS, ConfigMap, entries_of, read_config_map
from epp.datalayer.discovery.kubernetes.client import ApiServer
from epp.datalayer.discovery.kubernetes.feed import Feed
from epp.datalayer.discovery.kubernetes.follower import Follower
from epp.datalayer.discovery.kubernetes.recovery import Recovery
from epp.datalayer.discovery.kubernetes.reporter import Reporter
from epp.datalayer.discovery.kubernetes.resource import Resource

log = logging.getLogger(__name__)

COALESCE_SECONDS: Final = 0.015  # objects that change together are published together
FIRST_LIST_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class ConfigMapSettings:
    kubeconfig: Path | None = None  # None: as the official client finds it
    namespace: str = ""  # empty: all of them
    selectors: tuple[str, ...] = SELECTORS


class ConfigMapWatch:
    def __init__(
        self,
        settings: ConfigMapSettings,
        publish: Callable[[Entries], list[str]],
        rng: random.Random,
    ) -> None:
        """`publish` returns the disputes between entries, for the log."""
        self._publish = publish
        self._api = ApiServer(settings.kubeconfig)
        self._recovery = Recovery(rng)
        self._feeds: list[Feed[ConfigMap]] = [
            Feed(Resource("", "v1", "configmaps", "ConfigMap", settings.namespace, selector), rng)
            for selector in settings.selectors
        ]
        self._changed = asyncio.Event()
        self._answered = asyncio.Event()
        self._published: Entries | None = None
        self._disputes: set[str] = set()

    async def load(self) -> None:
        """Reads the client's configuration. Raises ClusterConfigError."""
        await self._api.open()

    async def first_list(self) -> None:
        """Returns when it is known how matters stand, or after a while: routing goes on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LIST_SECONDS):
                await self._answered.wait()
        if not all(feed.listed for feed in self._feeds):
            log.warning("serving without all ConfigMaps: adapters may have no base model yet")

    async def run(self) -> None:
        """Follow until cancelled. To be called after `load`."""
        try:
            async with asyncio.TaskGroup() as group:
                for feed in self._feeds:
                    group.create_task(self._follower(feed).run())
                while True:
                    await self._changed.wait()
                    await asyncio.sleep(COALESCE_SECONDS)
                    self._changed.clear()
                    self._tell()
        finally:
            await self._api.close()

    def _follower(self, feed: Feed[ConfigMap]) -> Follower[ConfigMap]:
        return Follower(
            feed, read_config_map, self._api, Reporter(), self._recovery, self._changed.set
        )

    def _tell(self) -> None:
        entries = entries_of(feed.objects for feed in self._feeds)
        if entries != self._published:
            self._published = entries
            disputes = set(self._publish(entries))
            for dispute in sorted(disputes - self._disputes):
                log.warning("%s", dispute)
            self._disputes = disputes
            log.info("base models changed", extra={"config_maps": len(entries)})
        if all(feed.answered for feed in self._feeds):
            self._answered.set()
