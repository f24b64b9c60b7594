"""From the settings of traces to the tracer of one process, if there is one."""

from __future__ import annotations

import importlib.util
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from epp.extproc.tracing import RequestTracer
from epp.telemetry.instruments import Counter
from epp.telemetry.spans import Span
from epp.telemetry.trace_context import TracePart
from epp.telemetry.tracing_settings import Exporter, TracingSettings

log = logging.getLogger(__name__)

MODULES = {
    Exporter.CONSOLE: ("opentelemetry.sdk",),
    Exporter.GRPC: ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.grpc"),
    Exporter.HTTP: ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"),
}


@dataclass(frozen=True, slots=True)
class Tracing:
    tracer: RequestTracer | None = None
    closing: tuple[Callable[[], Awaitable[None]], ...] = ()


def assemble_tracing(settings: TracingSettings, counts: Callable[[], Counter]) -> Tracing:
    """Says in one line what happens. Whatever is wrong: no spans, and requests go on."""
    for problem in settings.problems:
        log.warning("tracing: %s", problem)
    if settings.exporter is None:
        log.info("tracing: %s", settings.says)
        return Tracing()
    if not all(_installed(module) for module in MODULES[settings.exporter]):
        log.warning("tracing: no spans: %s needs pip install 'epp[tracing]'", settings.exporter)
        return Tracing()
    try:
        from epp.telemetry.span_export import SpanExport  # heavy to import

        export = SpanExport(settings, counts())
    except Exception as error:  # of libraries that read variables, and do not fit each other
        log.warning("tracing: no spans: %s: %s", type(error).__name__, error)
        return Tracing()
    log.info("tracing: %s", settings.says)

    def write(root: Span, part: TracePart, now: float) -> None:
        export.write(root, part, time.time_ns() - int(now * 1e9))

    return Tracing(
        RequestTracer(settings.sampler, random.Random().getrandbits, write), (export.close,)
    )


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # nor is the package that it would be in
        return False
