"""From settings and a configuration to the shells of one picker process."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import random
import secrets
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from epp.admin.server import AdminServer, AdminSettings, AdminViews
from epp.admin.status import StatusSources, status
from epp.app.lifecycle import Shells
from epp.app.settings import ServeSettings
from epp.compose import Outside, Picker, compose
from epp.config.settings import Configuration
from epp.core.endpoint import Endpoint
from epp.datalayer.discovery.file import FileDiscovery
from epp.datalayer.models.fetcher import ModelListFetcher
from epp.datalayer.scraping.endpoint_health import EndpointHealth
from epp.datalayer.scraping.outcome import ScrapeOutcome
from epp.datalayer.scraping.scraper import Scraper
from epp.datalayer.store import Change
from epp.extproc import access_log
from epp.extproc.exchange import Limits
from epp.extproc.health import Health
from epp.extproc.logged import AccessLogDigest
from epp.extproc.observer import RequestObserver
from epp.extproc.session import ExtProcSession, SessionSettings
from epp.extproc.switchboard import Switchboard
from epp.extproc.transport.grpcio import GrpcioServer, GrpcioSettings
from epp.extproc.transport.interfaces import Metadata, Services, Stream
from epp.extproc.transport.tls import Certificates
from epp.telemetry.legacy import with_twins
from epp.telemetry.logs import LineWriter, RequestLog
from epp.telemetry.loop_stall import watch_loop
from epp.telemetry.metrics import Metrics
from epp.telemetry.pool import PoolCollector, PoolSources

log = logging.getLogger(__name__)

EXT_PROC_METHOD = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
FIRST_ROUND_SECONDS = 1.5  # for every endpoint to be scraped once before we serve


class NoDiscovery(Exception):
    """The configuration does not say where the endpoints come from."""


@dataclass(slots=True)
class Scrapes:
    """Takes in what the scraper tells: the ledger first, then whoever waits."""

    picker: Picker
    board: Switchboard
    metrics: Metrics
    health: EndpointHealth = field(default_factory=EndpointHealth)
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
            self.asked.discard(endpoint)
        self.board.something_changed()

    def on_reading(self, endpoint: Endpoint, outcome: ScrapeOutcome) -> None:
        if not self.all_asked.is_set():
            self.asked.add(endpoint)
            if self.asked.issuperset(self.picker.store.endpoints):
                self.all_asked.set()
        if outcome.metrics is not None:
            self.picker.read(endpoint, outcome.metrics, outcome.requests_at_start)
        elif outcome.failure is not None:
            kind = outcome.failure.value
            self.metrics.poll_errors.labels("metrics-data-source", kind).inc()
        reachable = self.health.reachable_after(endpoint, outcome.failure)
        if self.picker.store.set_reachable(endpoint, reachable):
            word = "can be reached again" if reachable else "refuses connections and is left out"
            log.warning("endpoint %s %s", endpoint.authority, word)
            if not reachable:
                self.picker.index.forget(endpoint)  # its cache dies with it
        self.board.something_changed()


def assemble(settings: ServeSettings, configuration: Configuration, writer: LineWriter) -> Shells:
    """Raises NoDiscovery, or CertificateError for a certificate that cannot be used."""
    if configuration.discovery is None:
        raise NoDiscovery(
            "dataLayer.discovery: is missing. This version finds endpoints with `file-discovery`"
        )
    now = time.monotonic
    metrics = Metrics()
    picker = compose(configuration, _outside(metrics), use_subset=settings.use_subset)
    observer = RequestObserver(
        metrics, RequestLog(writer, enabled=settings.log_requests), settings.pool_name
    )
    board = Switchboard(
        picker.director,
        observer,
        picker.queue.next_deadline,
        now,
        look_at=lambda endpoint: scraper.refresh(endpoint),  # made below, with what the board tells
    )
    scrapes = Scrapes(picker, board, metrics)
    scraping = replace(
        configuration.scraping,
        interval_seconds=settings.refresh_metrics_seconds,
        idle_interval_seconds=max(
            settings.refresh_metrics_seconds, configuration.scraping.idle_interval_seconds
        ),
    )
    scraper = Scraper(picker.store, scraping, now, scrapes.on_reading, random.Random())
    discovery = FileDiscovery(configuration.discovery, picker.store.apply)
    picker.store.subscribe(scrapes.forget)
    health = Health()
    metrics.registry.register(PoolCollector(_sources(settings, picker, now)))

    async def prepare() -> None:
        await discovery.load()

    def refuse_waiting() -> None:
        board.deliver(picker.queue.close())

    status_sources = StatusSources(
        pool_name=settings.pool_name,
        endpoints=lambda: picker.store.endpoints,
        cached_blocks=picker.index.size_of,
        waiting=picker.queue.waiting,
        recent=lambda: tuple(observer.recent),
        ready=lambda: health.ready,
        now=now,
    )
    services = _services(settings, board, metrics, health)
    certificates = _certificates(settings)
    return Shells(
        extproc=GrpcioServer(
            GrpcioSettings(
                settings.host,
                settings.grpc_port,
                settings.max_receive_bytes,
                settings.max_send_bytes,
            ),
            services,
            certificates,
        ),
        health_server=GrpcioServer(
            GrpcioSettings(settings.host, settings.grpc_health_port), health.services(), None
        ),
        admin=AdminServer(
            AdminSettings(settings.host, settings.metrics_port),
            AdminViews(
                metrics=lambda: with_twins(metrics.registry.collect(), settings.metrics_families),
                ready=lambda: health.ready,
                status=lambda: status(status_sources),
            ),
        ),
        health=health,
        prepare=prepare,
        background=(
            scraper.run,
            discovery.run,
            ModelListFetcher(picker.store, picker.models, random.Random()).run,
            lambda: watch_loop(metrics.loop_stall.observe),
        ),
        warmed_up=scrapes.first_round,
        refuse_waiting=refuse_waiting,
        open_requests=lambda: len(picker.director),
        drain_seconds=settings.drain_seconds,
    )


def _outside(metrics: Metrics) -> Outside:
    def on_rewrite(rewrite: str, model: str, target: str) -> None:
        metrics.rewrites.labels(rewrite, metrics.model_cap(model), target).inc()

    return Outside(
        rng=random.Random(),
        new_request_id=lambda: str(uuid.uuid4()),
        on_rewrite=on_rewrite,
    )


def _services(
    settings: ServeSettings, board: Switchboard, metrics: Metrics, health: Health
) -> Services:
    nonce = secrets.token_hex(8)
    session_settings = SessionSettings(
        limits=Limits(emit_scores=settings.emit_scores),
        instance=socket.gethostname(),
        nonce=nonce,
    )

    def open_ext_proc(stream: Stream, metadata: Metadata) -> ExtProcSession:
        return ExtProcSession(board, session_settings, stream, metadata)

    services = {EXT_PROC_METHOD: open_ext_proc}
    return {
        **services,
        **(access_log.services(AccessLogDigest(metrics, nonce)) if settings.access_log else {}),
        **(health.services() if settings.health_checking else {}),
    }


def _certificates(settings: ServeSettings) -> Certificates | None:
    if not settings.secure_serving:
        return None
    if settings.cert_path is not None:
        return Certificates.from_folder(settings.cert_path, reload=settings.enable_cert_reload)
    return Certificates.self_signed(datetime.datetime.now(datetime.UTC))


def _sources(settings: ServeSettings, picker: Picker, now: Callable[[], float]) -> PoolSources:
    return PoolSources(
        pool_name=settings.pool_name,
        endpoints=lambda: picker.store.endpoints,
        waiting=picker.queue.waiting,
        saturation=picker.saturation,
        prefix_blocks=lambda: len(picker.index),
        now=now,
        stale_after_seconds=settings.metrics_staleness_seconds,
    )
