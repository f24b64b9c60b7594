"""Keeps what is known of every endpoint fresh: asks when it is due, tells what came.

One task does all the work in turns of bounded length. The protocols only collect, so however many
servers answer at the same moment, requests go between two of their pages.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Callable
from functools import partial

from epp.core.endpoint import Endpoint, EndpointMetrics
from epp.datalayer.scraping.agenda import Agenda
from epp.datalayer.scraping.connection import Connection, Problem, problem_of
from epp.datalayer.scraping.http_response import Response
from epp.datalayer.scraping.outcome import Failure, ScrapeOutcome
from epp.datalayer.scraping.pacing import back_off, next_interval, next_launch
from epp.datalayer.scraping.page import PageScan, is_filtered
from epp.datalayer.scraping.settings import ScrapeSettings
from epp.datalayer.scraping.target import Target
from epp.datalayer.store import Change, EndpointStore

# At most so many scrapes a tick, a thousand a second. A pool that would need more is scraped less
# often than it should be, the longest overdue first; requests do not pay for it.
BURST = 8
TICK_SECONDS = 0.008

SURELY_FILTERED_BYTES = 8 * 1024  # a server that has answered filtered would send far more

Arrival = tuple[Target, Response | Problem, float]  # and when it came


class Scraper:
    """Tells `on_reading` of every scrape and changes nothing itself."""

    def __init__(
        self,
        store: EndpointStore,
        settings: ScrapeSettings,
        now: Callable[[], float],
        on_reading: Callable[[Endpoint, ScrapeOutcome], None],
        rng: random.Random,
    ) -> None:
        self._store = store
        self._settings = settings
        self._now = now
        self._on_reading = on_reading
        self._rng = rng
        self._targets: dict[Endpoint, Target] = {}
        self._due: Agenda[Target] = Agenda()
        self._deadlines: Agenda[Target] = Agenda()  # of those in flight and not answered
        self._arrivals: deque[Arrival] = deque()  # at most one of each target
        self._next_burst_at = -math.inf
        self._alarm: asyncio.Future[None] | None = None
        self._alarm_at = math.inf

    async def run(self) -> None:
        """Runs until cancelled. What `on_reading` raises ends it."""
        unsubscribe = self._store.subscribe(self._follow)
        try:
            async with asyncio.TaskGroup() as connects:
                self._follow(Change(added=self._store.endpoints))
                while True:
                    self._expire()
                    await self._digest_arrivals(connects)
                    self._launch_due(connects)
                    await self._pause()
        finally:
            unsubscribe()
            self._follow(Change(removed=tuple(self._targets)))

    def reconfigure(self, settings: ScrapeSettings) -> None:
        """From now on these hold. If they are others, every endpoint is asked afresh."""
        if settings == self._settings:
            return
        self._settings = settings
        present = tuple(self._targets)
        self._follow(Change(added=present, removed=present))

    def refresh(self, endpoint: Endpoint) -> None:
        """Look at it as soon as its interval allows. A server that fails is left in peace."""
        target = self._targets.get(endpoint)
        if target is None or target.failures:
            return
        if target.in_flight:
            target.wants_refresh = True
        else:
            self._schedule(target, target.launched_at + self._settings.interval_seconds)

    def _follow(self, change: Change) -> None:
        for endpoint in change.removed:
            if (target := self._targets.pop(endpoint, None)) is not None:
                self._due.drop(target)
                self._deadlines.drop(target)
                target.in_flight = False
                target.disconnect()
        for endpoint in change.added:
            target = Target(endpoint, self._settings, interval=self._settings.interval_seconds)
            self._targets[endpoint] = target
            self._schedule(target, self._now())
        for endpoint in change.updated:
            if self._settings.engines.of(endpoint.labels) is not self._targets[endpoint].mapping:
                self._follow(Change(removed=(endpoint,), added=(endpoint,)))

    def _schedule(self, target: Target, when: float) -> None:
        if self._targets.get(target.endpoint) is not target:
            return  # `on_reading` made it leave the pool
        self._due.put(target, when)
        if when < self._alarm_at:
            self._ring()

    def _launch_due(self, connects: asyncio.TaskGroup) -> None:
        now = self._now()
        if now < self._next_burst_at:
            return
        for target in self._due.take_due(now, BURST):
            self._next_burst_at = now + TICK_SECONDS
            target.in_flight = True
            target.launched_at = now
            target.start(now)
            self._deadlines.put(target, now + self._settings.timeout_seconds)
            self._send(target, connects)

    def _send(self, target: Target, connects: asyncio.TaskGroup) -> None:
        if target.connection is not None:
            target.ask(target.connection, self._now())
        else:
            target.connecting = connects.create_task(self._connect(target))

    async def _connect(self, target: Target) -> None:
        connection = Connection(
            self._settings.max_page_bytes,
            ended=partial(self._arrive, target),
            lost=partial(self._lose, target),
        )
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: connection, target.endpoint.address, target.port
            )
        except OSError as error:
            target.connecting = None
            self._arrive(target, problem_of(error))
        except asyncio.CancelledError:
            connection.abort()
            raise
        else:
            target.connecting = None
            if connection.usable:
                target.connection = connection
                target.ask(connection, self._now())
            else:
                self._arrive(target, Problem(Failure.LOST, "closed before it was asked"))

    def _arrive(self, target: Target, what: Response | Problem) -> None:
        self._deadlines.drop(target)
        self._arrivals.append((target, what, self._now()))
        self._ring()

    def _lose(self, target: Target) -> None:
        """The server closed an idle connection: it ends or restarts, so have a look."""
        target.connection = None
        target.query.restarted(self._now())
        self.refresh(target.endpoint)

    def _expire(self) -> None:
        now = self._now()
        for target in self._deadlines.take_due(now, BURST):
            seconds = self._settings.timeout_seconds
            self._fail(target, Problem(Failure.TIMEOUT, f"no answer in {seconds:g} s"), now)

    async def _digest_arrivals(self, connects: asyncio.TaskGroup) -> None:
        for _ in range(min(BURST, len(self._arrivals))):
            target, what, at = self._arrivals.popleft()
            if not target.in_flight:
                continue  # it left the pool
            if isinstance(what, Response):
                if not what.keep_alive:
                    target.disconnect()
                await self._digest(target, what, at, connects)
            elif _is_stale(target.connection):
                target.disconnect()
                target.query.restarted(at)
                self._ask_again(target, connects)
            else:
                self._fail(target, what, at)

    async def _digest(
        self, target: Target, response: Response, at: float, connects: asyncio.TaskGroup
    ) -> None:
        query, status = target.query, response.status
        if status != 200:
            if target.asked_filtered and query.refused(status, at):
                self._ask_again(target, connects)
            else:
                problem = Problem(Failure.HTTP_STATUS, f"HTTP status {status}")
                self._fail(target, problem, at, status)
            return
        scan = PageScan(response.body, target.mapping, whole=response.whole)
        while scan.step():
            await asyncio.sleep(0)
            if not target.in_flight:
                return
        reading = scan.reading(target.endpoint.metrics, at)
        only_wanted = target.asked_filtered and (
            (len(response.body) < SURELY_FILTERED_BYTES and not query.probing)
            or is_filtered(response.body, target.mapping)
        )
        query.answered(reading.families, only_wanted=only_wanted, now=at)
        if reading.families:
            self._succeed(target, reading.metrics, at)
        elif target.asked_filtered and not query.filtered(at):
            self._ask_again(target, connects)
        else:
            missing = f"no series of engine {target.mapping.name} on the page"
            self._fail(target, Problem(Failure.MALFORMED, missing), at, status)

    def _ask_again(self, target: Target, connects: asyncio.TaskGroup) -> None:
        """In another way, as part of the same scrape and within its time."""
        self._deadlines.put(target, target.launched_at + self._settings.timeout_seconds)
        self._send(target, connects)

    def _succeed(self, target: Target, metrics: EndpointMetrics, at: float) -> None:
        requests = target.requests_at_start
        outcome = ScrapeOutcome(target.started_at, at, requests, metrics=metrics)
        self._on_reading(target.endpoint, outcome)
        target.in_flight = False
        target.failures = 0
        target.interval = next_interval(
            target.interval,
            target.endpoint,
            metrics,
            requests,
            self._settings,
            len(self._targets),
        )
        interval = self._settings.interval_seconds if target.wants_refresh else target.interval
        target.wants_refresh = False
        launch_at = next_launch(target.launched_at, interval, self._settings, self._rng)
        self._schedule(target, launch_at)

    def _fail(self, target: Target, problem: Problem, at: float, status: int = 0) -> None:
        if problem.failure is not Failure.HTTP_STATUS:
            target.disconnect()
            target.query.restarted(at)
        outcome = ScrapeOutcome(
            target.started_at,
            at,
            target.requests_at_start,
            failure=problem.failure,
            status=status,
            detail=problem.detail,
        )
        self._on_reading(target.endpoint, outcome)
        target.in_flight = target.wants_refresh = False
        target.failures += 1
        target.interval = self._settings.interval_seconds
        self._schedule(target, at + back_off(target.failures, self._settings, self._rng))

    async def _pause(self) -> None:
        """Until something is to be done; other tasks always get a turn."""
        if self._arrivals:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        launch_at = max(self._due.next(), self._next_burst_at)
        self._alarm_at = min(launch_at, self._deadlines.next())
        self._alarm = loop.create_future()
        handle = None
        if self._alarm_at < math.inf:
            handle = loop.call_later(max(0.0, self._alarm_at - self._now()), self._ring)
        try:
            await self._alarm
        finally:
            self._alarm = None
            if handle is not None:
                handle.cancel()

    def _ring(self) -> None:
        if self._alarm is not None and not self._alarm.done():
            self._alarm.set_result(None)


def _is_stale(connection: Connection | None) -> bool:
    """A connection that the server closed just when the next request was on its way."""
    return connection is not None and connection.answers > 0 and connection.silent
