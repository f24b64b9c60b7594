"""Takes in what the scraper tells: the ledger first, then the endpoint's health, then who waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field

from epp.compose import Picker
from epp.config.rooms import CORE_EXTRACTOR, METRICS_SOURCE
from epp.core.endpoint import Endpoint
from epp.datalayer.scraping.endpoint_health import EndpointHealth
from epp.datalayer.scraping.outcome import ScrapeOutcome
from epp.datalayer.scraping.readability import Readability
from epp.datalayer.store import Change
from epp.extproc.switchboard import Switchboard
from epp.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

FIRST_ROUND_SECONDS = 1.5  # for every endpoint to be scraped once before we serve


@dataclass(slots=True)
class Scrapes:
    """Subscribed to the scraper and to the store."""

    picker: Picker
    board: Switchboard
    metrics: Metrics
    health: EndpointHealth = field(default_factory=EndpointHealth)
    readability: Readability = field(default_factory=Readability)
    asked: set[Endpoint] = field(default_factory=set)
    all_asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def first_round(self) -> None:
        """Returns when every endpoint has been asked once, or after a while."""
        if self.picker.store.endpoints:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_ROUND_SECONDS):
                    await self.all_asked.wait()

    def forget(self, change: Change) -> None:
        for endpoint in change.removed:
            self.health.forget(endpoint)
            self.readability.forget(endpoint)
            self.asked.discard(endpoint)
        if change.removed:
            self.metrics.forget_endpoints(
                [(e.pod_name, e.namespace, str(e.port)) for e in change.removed]
            )
        self.board.something_changed()

    def on_reading(self, endpoint: Endpoint, outcome: ScrapeOutcome) -> None:
        if not self.all_asked.is_set():
            self.asked.add(endpoint)
            if self.asked.issuperset(self.picker.store.endpoints):
                self.all_asked.set()
        if outcome.metrics is not None:
            self.picker.read(endpoint, outcome.metrics, outcome.requests_at_start)
            engine = self.picker.configuration.scraping.engines.of(endpoint.labels)
            if not engine.shows_all_load(outcome.metrics, outcome.finished_at):
                self.metrics.extract_errors.labels(METRICS_SOURCE, CORE_EXTRACTOR).inc()
        elif outcome.failure is not None:
            kind = outcome.failure.value
            self.picker.ledger.missed(endpoint)
            self.metrics.poll_errors.labels(METRICS_SOURCE, kind).inc()
        readable = self.readability.after(endpoint, outcome.failure)
        if readable:
            log.warning("the metrics of endpoint %s can be read again", endpoint.authority)
        elif readable is not None:
            log.warning(
                "the metrics of endpoint %s cannot be read (%s): only our own requests there count",
                endpoint.authority,
                outcome.detail,
            )
        reachable = self.health.reachable_after(endpoint, outcome.failure)
        if self.picker.store.set_reachable(endpoint, reachable):
            word = "can be reached again" if reachable else "refuses connections and is left out"
            log.warning("endpoint %s %s", endpoint.authority, word)
            if not reachable:
                self.picker.restarted(endpoint)  # its cache dies with it
        self.board.something_changed()
