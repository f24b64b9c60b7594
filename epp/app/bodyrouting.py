"""From settings to the shells of one body router process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from epp.admin.server import AdminServer, AdminSettings, AdminViews
from epp.app.lifecycle import Shells
from epp.app.settings import ServeSettings
from epp.app.wiring import EXT_PROC_METHOD, certificates, grpc_server
from epp.bodyrouting.basemodel_file import BaseModelFile
from epp.bodyrouting.basemodels import BaseModelTable, Entries
from epp.bodyrouting.metrics import BodyRouterMetrics
from epp.bodyrouting.session import BodyRouter
from epp.bodyrouting.settings import RoutingSettings
from epp.extproc.health import Health
from epp.extproc.transport.interfaces import Services
from epp.telemetry.loop_stall import watch_loop


@dataclass(frozen=True, slots=True)
class BodyRouterSettings:
    serve: ServeSettings = field(
        default_factory=lambda: ServeSettings(grpc_port=9004, grpc_health_port=9005)
    )
    routing: RoutingSettings = field(default_factory=RoutingSettings)
    base_model_file: Path | None = None


def assemble_body_router(settings: BodyRouterSettings) -> Shells:
    """Raises CertificateError for a certificate that cannot be used."""
    serve = settings.serve
    metrics = BodyRouterMetrics()
    table = BaseModelTable()
    router = BodyRouter(settings.routing, lambda: table.current, metrics)
    health = Health()
    also = health.services() if serve.health_checking else {}
    services: Services = {EXT_PROC_METHOD: router.open, **also}
    loops: list[Callable[[], Awaitable[None]]] = [lambda: watch_loop(metrics.loop_stall.observe)]
    prepare = _nothing_to_do

    def publish(source: str, entries: Entries) -> list[str]:
        disputes = table.publish(source, entries)
        metrics.base_models.labels().set(len(table.current))
        return disputes

    if settings.base_model_file is not None:
        file = BaseModelFile(settings.base_model_file, lambda entries: publish("file", entries))
        prepare = file.load
        loops.append(file.run)
    return Shells(
        extproc=grpc_server(serve, serve.grpc_port, services, certificates(serve)),
        health_server=grpc_server(serve, serve.grpc_health_port, health.services(), None),
        admin=AdminServer(
            AdminSettings(serve.host, serve.metrics_port),
            AdminViews(metrics=metrics.registry.collect, ready=lambda: health.ready),
        ),
        health=health,
        prepare=prepare,
        background=loops,
        warmed_up=_nothing_to_do,
        refuse_waiting=lambda: None,  # nobody waits here: a request that cannot be read goes on
        open_requests=lambda: router.streams,
        drain_seconds=serve.drain_seconds,
    )


async def _nothing_to_do() -> None:
    """There is no source that must be read first."""
