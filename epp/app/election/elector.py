"""Keeps a candidate in the race: plays the steps of the election on the API server."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
from collections.abc import Callable
from math import inf

from epp.app.election.election import Election, Look, Rest, Write
from epp.app.election.lease import LEASES, WrongLease, lease_document, read_lease
from epp.app.kubernetes_api import Answer, ApiUnavailable, KubernetesApi

log = logging.getLogger(__name__)

RELEASE_SECONDS = 2.0


class Elector:
    """`tell` hears whether we lead, at every change."""

    def __init__(
        self,
        election: Election,
        api: KubernetesApi,
        namespace: str,
        name: str,
        tell: Callable[[bool], None],
        now: Callable[[], float],
    ) -> None:
        """`api` must not retry by itself: an answer that is late is worth less than a new try."""
        self._election = election
        self._api = api
        self._namespace = namespace
        self._name = name
        self._collection = LEASES.format(namespace=namespace)
        self._tell = tell
        self._now = now
        self._resigned = asyncio.Event()
        self._leads = False
        self._holder = ""
        self._failing = ""
        self._deadline: asyncio.TimerHandle | None = None

    def resign(self) -> None:
        """Lead no more, from now on; the lease is given back in the background."""
        self._election.leave()
        self._resigned.set()
        self._show()

    async def run(self) -> None:
        """For ever. However it ends, a lease that we hold is released, within a bounded time."""
        try:
            while not self._resigned.is_set():
                await self._step()
            await self._release()
            await asyncio.Event().wait()
        finally:
            self._election.leave()
            self._show()
            await self._release()

    async def _step(self) -> None:
        step = self._election.tick(self._now(), _wall())
        match step:
            case Rest(until):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if until == inf else until - self._now()):
                        await self._resigned.wait()
            case Look():
                await self._look()
            case Write():
                await self._write(step)
        self._show()

    async def _release(self) -> None:
        step = self._election.tick(self._now(), _wall())
        if isinstance(step, Write):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RELEASE_SECONDS):
                    await self._write(step)
            self._holder = self._election.holder

    async def _look(self) -> None:
        answer = await self._call("GET", f"{self._collection}/{self._name}")
        if answer is None:
            return
        if answer.status == 404:
            self._election.observe(None, self._now())
        elif answer.ok:
            try:
                self._election.observe(read_lease(answer.document), self._now())
            except WrongLease as error:
                self._fail(f"{self._namespace}/{self._name}: {error}")
        else:
            self._fail(f"get leases in namespace {self._namespace}: {answer.text}")

    async def _write(self, write: Write) -> None:
        body = lease_document(write.stored, self._name, self._namespace)
        started = self._now()
        method, path = "PUT", f"{self._collection}/{self._name}"
        if write.creates:
            method, path = "POST", self._collection
        answer = await self._call(method, path, body)
        if answer is None:
            return
        if answer.status in (404, 409):
            self._election.lost_race(self._now())
        elif answer.ok:
            try:
                self._election.wrote(read_lease(answer.document), started)
            except WrongLease as error:
                self._fail(f"{self._namespace}/{self._name}: {error}")
        else:
            verb = "create" if write.creates else "update"
            self._fail(f"{verb} leases in namespace {self._namespace}: {answer.text}")

    async def _call(self, method: str, path: str, body: object = None) -> Answer | None:
        try:
            answer = await self._api.call(method, path, body)
        except ApiUnavailable as error:
            self._fail(str(error))
            return None
        if answer.ok and self._failing:
            self._failing = ""
            log.info("the lease can be reached again")
        return answer

    def _fail(self, text: str) -> None:
        self._election.failed(self._now())
        if text != self._failing:
            self._failing = text
            log.warning("the lease cannot be had: %s", text)

    def _show(self) -> None:
        """Tells what has changed; looks again when the time of the lease is over."""
        election, now = self._election, self._now()
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        leads = election.leading(now)
        if leads:
            wait = election.held_until - now
            self._deadline = asyncio.get_running_loop().call_later(wait + 0.001, self._show)
        if election.holder != self._holder:
            self._holder = election.holder
            log.info("lease %s: the holder is %s", self._name, self._holder or "nobody")
        if leads is not self._leads:
            self._leads = leads
            log.info("leading" if leads else "not leading: not ready", extra={"lease": self._name})
            self._tell(leads)


def _wall() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
