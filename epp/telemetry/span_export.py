"""Hands spans to the OpenTelemetry SDK, whose thread exports them. Imported only where spans go.

A queue that is full, or an exporter that is away, costs spans and nothing else: they are counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)

from epp.telemetry.instruments import Counter
from epp.telemetry.spans import Span
from epp.telemetry.trace_context import TracePart
from epp.telemetry.tracing_settings import Exporter, TracingSettings

log = logging.getLogger(__name__)

SERVICE: Final = "llm-d-epp"
CLOSE_SECONDS: Final = 2.0  # for what is queued when the process stops
GIVE_UP_SECONDS: Final = 0.5  # more, for an export that is told to end


class SpanExport:
    """`write` is for one thread alone, and never waits."""

    def __init__(self, settings: TracingSettings, counts: Counter) -> None:
        """`counts` has the label `result`. Raises what the SDK raises for wrong variables."""
        self._exporter = _CountedExporter(_exporter(settings.exporter), counts)
        self._dropped = counts.labels("dropped")
        self._limit = settings.queue_spans
        self._written = 0
        self._ids = _GivenIds()
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=settings.queue_spans,
            max_export_batch_size=settings.batch_spans,
        )
        provider = TracerProvider(
            sampler=ALWAYS_ON,  # it has been decided before
            resource=_resource(),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._processor)
        self._provider = provider
        self._tracers: dict[str, Tracer] = {}

    def write(self, root: Span, part: TracePart, clock_offset_ns: int) -> None:
        """All spans of a request or none. `clock_offset_ns` makes their times those since 1970."""
        size = root.size
        if self._written - self._exporter.taken + size > self._limit:
            self._dropped.inc(size)
            return
        self._written += size
        self._ids.trace_id, self._ids.span_id = part.trace_id, part.span_id
        self._record(root, _parent(part), clock_offset_ns)

    def _record(self, span: Span, context: Context, clock_offset_ns: int) -> None:
        tracer = self._tracers.get(span.scope)
        if tracer is None:
            tracer = self._provider.get_tracer(span.scope, version("epp"))
            self._tracers[span.scope] = tracer
        recorded = tracer.start_span(
            span.name,
            context=context,
            kind=SpanKind.SERVER if span.serves else SpanKind.INTERNAL,
            attributes=span.attributes,
            start_time=int(span.began * 1e9) + clock_offset_ns,
        )
        within = set_span_in_context(recorded, context)
        for child in span.children:
            self._record(child, within, clock_offset_ns)
        if span.error is not None:
            recorded.set_status(Status(StatusCode.ERROR, span.error))
        recorded.end(int(span.ended * 1e9) + clock_offset_ns)

    async def close(self) -> None:
        """Export what is queued, within a time; what is left then is lost and said so."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            try:
                self._processor.shutdown()  # type: ignore[no-untyped-call]
            finally:
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                    loop.call_soon_threadsafe(done.set)

        # Not one of the loop's own threads: the process would wait for it at its end.
        threading.Thread(target=shut_down, name="span export end", daemon=True).start()
        for seconds in (CLOSE_SECONDS, GIVE_UP_SECONDS):
            try:
                await asyncio.wait_for(done.wait(), seconds)
                break
            except TimeoutError:
                self._exporter.shutdown()  # which ends an export that is tried again and again
        left = self._written - self._exporter.taken
        if left:
            self._dropped.inc(left)
            log.warning("%d spans were not exported before the end", left)


class _CountedExporter(SpanExporter):
    """Counts what becomes of spans, on the thread of the processor."""

    def __init__(self, exporter: SpanExporter, counts: Counter) -> None:
        self.taken = 0  # from the queue
        self._exporter = exporter
        self._exported, self._failed = counts.labels("exported"), counts.labels("failed")
        self._ended = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            succeeded = result is SpanExportResult.SUCCESS
            (self._exported if succeeded else self._failed).inc(len(spans))
        return result

    def shutdown(self) -> None:
        """From any thread, and any number of times."""
        if not self._ended.is_set():
            self._ended.set()
            self._exporter.shutdown()


class _GivenIds(RandomIdGenerator):
    """The ids that were told to the model server already, once; random ones for what is below."""

    trace_id = 0
    span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id or super().generate_trace_id()

    def generate_span_id(self) -> int:
        given, self.span_id = self.span_id, 0
        return given or super().generate_span_id()


def _parent(part: TracePart) -> Context:
    if part.parent is None:
        return Context()
    remote = SpanContext(
        part.parent.trace_id,
        part.parent.span_id,
        is_remote=True,
        trace_flags=TraceFlags(part.parent.flags),
        trace_state=TraceState.from_header([part.tracestate]) if part.tracestate else None,
    )
    return set_span_in_context(NonRecordingSpan(remote), Context())


def _resource() -> Resource:
    """Ours, and what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say before it."""
    own = {SERVICE_NAME: SERVICE, SERVICE_VERSION: version("epp")}
    return Resource.create({**own, **OTELResourceDetector().detect().attributes})


def _exporter(kind: Exporter | None) -> SpanExporter:
    """They read the other OTEL_EXPORTER_OTLP_ variables themselves."""
    match kind:
        case Exporter.GRPC:
            from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as otlp_grpc

            return otlp_grpc.OTLPSpanExporter()
        case Exporter.HTTP:
            from opentelemetry.exporter.otlp.proto.http import trace_exporter as otlp_http

            return otlp_http.OTLPSpanExporter()
        case _:
            return ConsoleSpanExporter()
