"""From settings and a configuration to the shells of one picker process."""

from __future__ import annotations

import datetime
import functools
import logging
import os
import random
import secrets
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from epp.admin.server import AdminServer, AdminSettings
from epp.app.cluster import PoolReadiness, cluster_discovery
from epp.app.guards import guards
from epp.app.lifecycle import Shells
from epp.app.reload import ConfigurationReload, ReloadSettings
from epp.app.scrapes import Scrapes
from epp.app.settings import ServeSettings, Transport
from epp.app.shadows import shadowing, tell_shadows
from epp.app.tracing import Tracing, assemble_tracing
from epp.app.views import Watched, admin_views
from epp.compose import Picker, compose
from epp.config.settings import Configuration
from epp.configured import Outside, measure_arrival, read_arrival
from epp.core.endpoint import Endpoint
from epp.core.stopwatch import Part, Stopwatch, Timing
from epp.datalayer.discovery.file import FileDiscovery
from epp.datalayer.models.fetcher import ModelListFetcher
from epp.datalayer.scraping.scraper import Scraper
from epp.datalayer.scraping.settings import ScrapeSettings
from epp.explain.sampling import DecisionSampler
from epp.extproc import access_log
from epp.extproc.counted import counted
from epp.extproc.exchange import Limits
from epp.extproc.health import Health
from epp.extproc.logged import AccessLogDigest
from epp.extproc.observer import RequestObserver
from epp.extproc.session import ExtProcSession, SessionSettings
from epp.extproc.switchboard import Switchboard
from epp.extproc.transport.http2.server import Http2Server, Http2Settings
from epp.extproc.transport.http2.settings import Limits as Http2Limits
from epp.extproc.transport.interfaces import Metadata, OpenSession, Server, Services, Stream
from epp.extproc.transport.tls import Certificates
from epp.flowcontrol.surroundings import Sample
from epp.payloads.usage import Usage
from epp.telemetry.logs import LineWriter
from epp.telemetry.loop_stall import watch_loop
from epp.telemetry.metrics import Metrics
from epp.telemetry.request_log import RequestLog
from epp.timed import TimedReading

log = logging.getLogger(__name__)

EXT_PROC_METHOD = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"


class NoDiscovery(Exception):
    """The configuration does not say where the endpoints come from."""


def assemble(settings: ServeSettings, configuration: Configuration, writer: LineWriter) -> Shells:
    """Raises NoDiscovery, or CertificateError for a certificate that cannot be used."""
    if configuration.discovery is None and settings.kubernetes is None:
        raise NoDiscovery(
            "either --pool-name or --endpoint-selector must be set, for endpoints on Kubernetes; "
            "or dataLayer.discovery in the configuration, for `file-discovery`"
        )
    core = _core(settings, configuration, writer)
    kubernetes = settings.kubernetes if configuration.discovery is None else None
    health = Health(elects=settings.elects_leader and kubernetes is not None)
    guarded = guards(settings, kubernetes, health, time.monotonic)
    discovery = _discovery(settings, configuration, core, health)
    reload = ConfigurationReload(
        ReloadSettings(settings.config_file, settings.watch_config),
        configuration,
        functools.partial(_apply, settings, core),
        core.metrics,
        time.time,
    )
    views = admin_views(
        Watched(settings, core.picker, core.observer, core.metrics, health, lambda: reload.status)
    )
    picker = core.picker
    return Shells(
        extproc=grpc_server(
            settings,
            settings.grpc_port,
            _services(settings, core.board, core.metrics, health),
            certificates(settings),
        ),
        health_server=grpc_server(settings, settings.grpc_health_port, health.services(), None),
        admin=AdminServer(
            AdminSettings(settings.host, settings.metrics_port), views, guarded.access
        ),
        health=health,
        prepare=discovery.load,
        background=(
            core.scraper.run,
            reload.run,
            *discovery.loops,
            *guarded.loops,
            ModelListFetcher(picker.store, picker.models, random.Random()).run,
            lambda: watch_loop(core.metrics.loop_stall.observe),
        ),
        warmed_up=discovery.first_look,
        refuse_waiting=lambda: core.board.deliver(picker.queue.close()),
        open_requests=lambda: len(picker.director),
        step_down=guarded.step_down,
        closing=(*guarded.closing, *core.tracing.closing),
        drain_seconds=settings.drain_seconds,
        reload=reload.request,
    )


@dataclass(frozen=True, slots=True)
class _Core:
    """The picker with what tells it of the world and what looks on."""

    metrics: Metrics
    picker: Picker
    observer: RequestObserver
    board: Switchboard
    scrapes: Scrapes
    scraper: Scraper
    tracing: Tracing


def _core(settings: ServeSettings, configuration: Configuration, writer: LineWriter) -> _Core:
    now = time.monotonic
    metrics = Metrics(pool_name=settings.pool_name)
    metrics.model_cap.exempt(configuration.routing.model_names())
    sampler = DecisionSampler(settings.replay_sampling, random.Random())
    outside = _outside(metrics, sampler if settings.replay_sampling else None)
    tell_shadows(configuration)
    picker = sampler.picker = compose(configuration, outside, use_subset=settings.use_subset)
    observer = RequestObserver(metrics, RequestLog(writer.put, enabled=settings.log_requests))
    tracing = assemble_tracing(settings.tracing, metrics.count_spans)
    board = Switchboard(
        picker.director,
        observer,
        picker.queue.next_deadline,
        now,
        look_at=lambda endpoint: scraper.refresh(endpoint),  # made below, with what the board tells
        tracer=tracing.tracer,
    )
    scrapes = Scrapes(picker, board, metrics)
    scraping = _scrape_settings(settings, configuration)
    scraper = Scraper(picker.store, scraping, now, scrapes.on_reading, random.Random())
    picker.store.subscribe(scrapes.forget)
    return _Core(metrics, picker, observer, board, scrapes, scraper, tracing)


def _apply(settings: ServeSettings, core: _Core, configuration: Configuration) -> None:
    """Put another configuration in force, in one step of the event loop."""
    scraping = _scrape_settings(settings, configuration)
    before = core.picker.configuration
    done = core.picker.reconfigure(configuration, core.board.now())
    if (configuration.profile, configuration.shadows) != (before.profile, before.shadows):
        tell_shadows(configuration)
    core.metrics.model_cap.exempt(configuration.routing.model_names())
    core.scraper.reconfigure(scraping)
    if done.index_anew:
        log.info("prefix blocks have another size now: what was known of prefixes is forgotten")
    core.board.deliver(done.outcomes)


@dataclass(frozen=True, slots=True)
class _Discovery:
    load: Callable[[], Awaitable[None]]
    loops: tuple[Callable[[], Awaitable[None]], ...]
    first_look: Callable[[], Awaitable[None]]  # returns when there is something to pick, or late


def _discovery(
    settings: ServeSettings,
    configuration: Configuration,
    core: _Core,
    health: Health,
) -> _Discovery:
    """The document's own discovery, else Kubernetes as the command line says."""
    if configuration.discovery is not None:
        file = FileDiscovery(configuration.discovery, core.picker.store.apply)
        return _Discovery(file.load, (file.run,), core.scrapes.first_round)
    assert settings.kubernetes is not None
    health.set_pool_known(False)
    readiness = PoolReadiness(health, core.scrapes.first_round)
    cluster = cluster_discovery(settings.kubernetes, core.picker, core.metrics, readiness)
    return _Discovery(cluster.load, (cluster.run, readiness.run), readiness.first)


def _scrape_settings(settings: ServeSettings, configuration: Configuration) -> ScrapeSettings:
    """The flag bounds the rate of busy endpoints, and of idle ones if it is slower than theirs."""
    given, interval = configuration.scraping, settings.refresh_metrics_seconds
    idle = max(interval, given.idle_interval_seconds)
    return replace(given, interval_seconds=interval, idle_interval_seconds=idle)


def grpc_server(
    settings: ServeSettings, port: int, services: Services, certificates: Certificates | None
) -> Server:
    """A gRPC port of the configured transport; without certificates it is plaintext."""
    if settings.transport is Transport.HTTP2:
        limits = Http2Limits(max_receive_bytes=settings.max_receive_bytes)
        if settings.max_send_bytes >= 0:
            limits = replace(limits, max_send_bytes=settings.max_send_bytes)
        http2 = Http2Settings(settings.host, port, limits, settings.tls)
        return Http2Server(http2, services, certificates)
    if settings.tls.ciphers:  # taken from here alone, and read when grpcio is imported
        os.environ["GRPC_SSL_CIPHER_SUITES"] = settings.tls.cipher_text
    from epp.extproc.transport.grpcio import GrpcioServer, GrpcioSettings  # heavy to import

    grpcio = GrpcioSettings(
        settings.host, port, settings.max_receive_bytes, settings.max_send_bytes
    )
    return GrpcioServer(grpcio, services, certificates)


def _outside(metrics: Metrics, sample: Sample | None) -> Outside:
    def observer_of(part: Part) -> Callable[[float], None]:
        return metrics.plugin_timer(part.point, part.plugin_type, part.plugin_name).observe

    stopwatch = Stopwatch(time.monotonic, observer_of)
    return Outside(
        rng=random.Random(),
        new_request_id=lambda: str(uuid.uuid4()),
        read_payload=TimedReading(read_arrival, stopwatch),
        measure_payload=TimedReading(measure_arrival, stopwatch),
        on_rewrite=metrics.rewrote,
        on_pause=_tell_of_pause,
        sample=sample,
        shadowing=shadowing(),
        stopwatch=stopwatch,
        passes=Timing(time.monotonic, metrics.dispatch_cycle.labels().observe),
    )


def _tell_of_pause(endpoint: Endpoint, seconds: float) -> None:
    if seconds:
        text = "endpoint %s answers nothing but errors and is left out for %g s"
        log.warning(text, endpoint.authority, seconds)
    else:
        log.warning("endpoint %s answers again", endpoint.authority)


def _services(
    settings: ServeSettings,
    board: Switchboard,
    metrics: Metrics,
    health: Health,
) -> Services:
    nonce = secrets.token_hex(8)
    session_settings = SessionSettings(
        limits=Limits(emit_scores=settings.emit_scores),
        instance=socket.gethostname(),
        nonce=nonce,
    )

    def open_ext_proc(stream: Stream, metadata: Metadata) -> ExtProcSession:
        return ExtProcSession(board, session_settings, stream, metadata)

    def report(request_id: str, usage: Usage) -> None:
        board.director.reported(request_id, usage, board.now())

    opened: OpenSession = open_ext_proc
    digest = AccessLogDigest(metrics, nonce, report)
    if settings.count_streams:
        opened = counted(open_ext_proc, metrics.count_streams(), time.monotonic)
    return {
        EXT_PROC_METHOD: opened,
        **(access_log.services(digest) if settings.access_log else {}),
        **(health.services() if settings.health_checking else {}),
    }


def certificates(settings: ServeSettings) -> Certificates | None:
    """Of the ext-proc port. Raises CertificateError."""
    if not settings.secure_serving:
        return None
    if settings.cert_path is not None:
        return Certificates.from_folder(settings.cert_path, reload=settings.enable_cert_reload)
    now = datetime.datetime.now(datetime.UTC)
    return Certificates.self_signed(now, rsa_key=settings.tls.needs_rsa)
