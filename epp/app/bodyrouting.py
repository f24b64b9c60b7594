"""From settings to the shells of one body router process."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from epp.admin.server import AdminServer, AdminSettings, AdminViews
from epp.app.kubernetes_api import KubernetesApi
from epp.app.lifecycle import Shells
from epp.app.metrics_access import admin_access
from epp.app.settings import ServeSettings
from epp.app.wiring import EXT_PROC_METHOD, certificates, grpc_server
from epp.bodyrouting.basemodel_file import BaseModelFile
from epp.bodyrouting.basemodels import BaseModelTable, Entries
from epp.bodyrouting.configmap_watch import ConfigMapSettings, ConfigMapWatch
from epp.bodyrouting.metrics import BodyRouterMetrics
from epp.bodyrouting.session import BodyRouter
from epp.bodyrouting.settings import RoutingSettings
from epp.datalayer.discovery.kubernetes.client import connect
from epp.extproc.health import Health
from epp.extproc.transport.interfaces import Services
from epp.telemetry.loop_stall import watch_loop

Step = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class BodyRouterSettings:
    serve: ServeSettings = field(
        default_factory=lambda: ServeSettings(grpc_port=9004, grpc_health_port=9005)
    )
    routing: RoutingSettings = field(default_factory=RoutingSettings)
    base_model_file: Path | None = None
    config_maps: ConfigMapSettings | None = None  # None: no Kubernetes


def assemble_body_router(settings: BodyRouterSettings) -> Shells:
    """Raises CertificateError for a certificate that cannot be used."""
    serve = settings.serve
    metrics = BodyRouterMetrics()
    table = BaseModelTable()
    router = BodyRouter(settings.routing, lambda: table.current, metrics)
    sources = _sources(settings, table, metrics)
    reviews = _reviews(settings)
    health = Health()
    also = health.services() if serve.health_checking else {}
    services: Services = {EXT_PROC_METHOD: router.open, **also}
    return Shells(
        extproc=grpc_server(serve, serve.grpc_port, services, certificates(serve)),
        health_server=grpc_server(serve, serve.grpc_health_port, health.services(), None),
        admin=AdminServer(
            AdminSettings(serve.host, serve.metrics_port),
            AdminViews(metrics=metrics.registry.collect, ready=lambda: health.ready),
            admin_access(serve.metrics_guard, reviews, time.monotonic),
        ),
        health=health,
        prepare=_all(sources.load),
        background=(*sources.loops, lambda: watch_loop(metrics.loop_stall.observe)),
        warmed_up=_all(sources.warm_up),
        refuse_waiting=lambda: None,  # nobody waits here: a request that cannot be read goes on
        open_requests=lambda: router.streams,
        closing=(reviews.close,) if reviews is not None else (),
        drain_seconds=serve.drain_seconds,
    )


@dataclass(slots=True)
class _Sources:
    """Where base models come from; what is listed first wins a dispute."""

    load: list[Step] = field(default_factory=list)
    warm_up: list[Step] = field(default_factory=list)
    loops: list[Step] = field(default_factory=list)


def _sources(
    settings: BodyRouterSettings, table: BaseModelTable, metrics: BodyRouterMetrics
) -> _Sources:
    def publish(source: str, entries: Entries) -> list[str]:
        disputes = table.publish(source, entries)
        metrics.base_models.labels().set(len(table.current))
        return disputes

    sources = _Sources()
    if settings.base_model_file is not None:
        file = BaseModelFile(settings.base_model_file, functools.partial(publish, "file"))
        sources.load.append(file.load)
        sources.loops.append(file.run)
    if settings.config_maps is not None:
        told = functools.partial(publish, "ConfigMaps")
        watch = ConfigMapWatch(settings.config_maps, told, random.Random())
        sources.load.append(watch.load)
        sources.warm_up.append(watch.first_list)
        sources.loops.append(watch.run)
    return sources


def _reviews(settings: BodyRouterSettings) -> KubernetesApi | None:
    """Who judges the tokens of the metrics page; nobody without Kubernetes."""
    if settings.config_maps is None or not settings.serve.metrics_guard.authenticates:
        return None
    factory = functools.partial(connect, settings.config_maps.kubeconfig)
    return KubernetesApi(factory, random.Random())


def _all(steps: list[Step]) -> Step:
    async def run() -> None:
        for step in steps:
            await step()

    return run
