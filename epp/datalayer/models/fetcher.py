"""Asks every server for its model list, rarely: lists change when somebody loads an adapter."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

import aiohttp

from epp.core.endpoint import Endpoint
from epp.datalayer.models.catalogue import MalformedList, ModelCatalogue, read_list
from epp.datalayer.store import Change, EndpointStore

log = logging.getLogger(__name__)

PATH = "/v1/models"
PERIOD_SECONDS = 30.0
RETRY_SECONDS = 2.0  # for a server that has not answered yet
TIMEOUT_SECONDS = 2.0
MAX_BYTES = 4 << 20

Fetch = Callable[[Endpoint], Awaitable[bytes]]


class ModelListFetcher:
    """One loop for the whole pool; servers are asked one after another."""

    def __init__(self, store: EndpointStore, catalogue: ModelCatalogue, rng: random.Random) -> None:
        self._store = store
        self._catalogue = catalogue
        self._rng = rng
        self._due: dict[Endpoint, float] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Runs until cancelled."""
        unsubscribe = self._store.subscribe(self._follow)
        self._follow(Change(added=self._store.endpoints))
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session:
                while True:
                    await self._ask_due(session)
                    await self._pause()
        finally:
            unsubscribe()

    def _follow(self, change: Change) -> None:
        now = asyncio.get_running_loop().time()
        for endpoint in change.removed:
            self._due.pop(endpoint, None)
            self._catalogue.forget(endpoint)
        for endpoint in change.added:
            self._due[endpoint] = now
        self._changed.set()

    async def _pause(self) -> None:
        self._changed.clear()
        now = asyncio.get_running_loop().time()
        wait = max(0.0, min(self._due.values(), default=now + PERIOD_SECONDS) - now)
        try:
            async with asyncio.timeout(wait + 0.001):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _ask_due(self, session: aiohttp.ClientSession) -> None:
        loop = asyncio.get_running_loop()
        for endpoint in [e for e, due in self._due.items() if due <= loop.time()]:
            try:
                models = read_list(await self._get(session, endpoint))
            except (aiohttp.ClientError, TimeoutError, MalformedList, OSError) as error:
                # A server that starts refuses for a while, and one may have no such list at all.
                log.debug("no model list from %s: %r", endpoint.authority, error)
                wait = RETRY_SECONDS
            else:
                self._catalogue.put(endpoint, models)
                wait = PERIOD_SECONDS
            if endpoint in self._due:  # it may have left meanwhile
                self._due[endpoint] = loop.time() + wait * (1.0 + 0.2 * self._rng.random())

    async def _get(self, session: aiohttp.ClientSession, endpoint: Endpoint) -> bytes:
        async with session.get(f"http://{endpoint.authority}{PATH}") as answer:
            answer.raise_for_status()
            body = await answer.content.read(MAX_BYTES + 1)
            while (
                body and len(body) <= MAX_BYTES and (more := await answer.content.read(MAX_BYTES))
            ):
                body += more
            if len(body) > MAX_BYTES:
                raise MalformedList(f"over {MAX_BYTES} bytes")
            return body
