from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExportResult

from epp.telemetry import span_export
from epp.telemetry.instruments import Counter
from epp.telemetry.metrics import Metrics
from epp.telemetry.span_export import SpanExport
from epp.telemetry.spans import Span
from epp.telemetry.trace_context import TraceParent, TracePart
from epp.telemetry.tracing_settings import Exporter, TracingSettings

PART = TracePart(7, 8, TraceParent(7, 9, 1), True, "a=1,b=2", {}, 0.0)


class Kept(ConsoleSpanExporter):
    """An exporter that can be held up, as one is whose collector does not answer."""

    def __init__(self, result: SpanExportResult = SpanExportResult.SUCCESS) -> None:
        super().__init__()
        self.spans: list[ReadableSpan] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.asked = threading.Event()
        self._result = result

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        self.go_on.wait(30)
        self.spans += spans
        return self._result

    def shutdown(self) -> None:
        self.go_on.set()


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    made = Kept()
    monkeypatch.setattr(span_export, "_exporter", lambda _kind: made)
    return made


def an_export(counts: Counter, queue: int = 100) -> SpanExport:
    return SpanExport(TracingSettings(Exporter.CONSOLE, queue_spans=queue, batch_spans=1), counts)


def a_tree() -> Span:
    child = Span("child", 2.0, 3.0, attributes={"weight": 2.0, "names": ["a", "b"]})
    return Span("root", 1.5, 4.0, serves=True, error="it went wrong", children=[child])


def count(counts: Counter, result: str) -> float:
    return counts.labels(result).value


async def test_spans_have_their_ids_times_and_parents(kept: Kept) -> None:
    counts = Metrics().count_spans()
    export = an_export(counts)
    export.write(a_tree(), PART, 1_000)
    await export.close()
    child, root = kept.spans
    assert root.context is not None
    assert root.parent is not None
    assert child.parent is not None
    assert (root.context.trace_id, root.context.span_id) == (7, 8)
    assert (root.parent.span_id, child.parent.span_id) == (9, 8)
    assert (root.start_time, root.end_time) == (1_500_001_000, 4_000_001_000)
    assert dict(root.context.trace_state) == {"a": "1", "b": "2"}
    assert (root.kind.name, child.kind.name) == ("SERVER", "INTERNAL")
    assert (root.status.description, child.status.is_unset) == ("it went wrong", True)
    assert child.attributes is not None
    assert dict(child.attributes) == {"weight": 2.0, "names": ("a", "b")}
    assert count(counts, "exported") == 2


async def test_a_trace_that_begins_here_has_no_parent(kept: Kept) -> None:
    export = an_export(Metrics().count_spans())
    export.write(a_tree(), TracePart(5, 6, None, True, "", {}, 0.0), 0)
    await export.close()
    _, root = kept.spans
    assert root.context is not None
    assert (root.context.trace_id, root.context.span_id, root.parent) == (5, 6, None)


async def test_what_does_not_fit_the_queue_is_dropped_whole_and_counted(kept: Kept) -> None:
    counts = Metrics().count_spans()
    export = an_export(counts, queue=5)
    kept.go_on.clear()
    export.write(a_tree(), PART, 0)
    assert await asyncio.to_thread(kept.asked.wait, 30)
    for _ in range(10):
        export.write(a_tree(), PART, 0)
    dropped = count(counts, "dropped")
    assert 12 <= dropped <= 20
    assert dropped % 2 == 0
    kept.go_on.set()
    await export.close()
    assert count(counts, "exported") == 22 - dropped
    assert {span.name for span in kept.spans} == {"child", "root"}


async def test_what_fails_is_counted(kept: Kept) -> None:
    counts = Metrics().count_spans()
    kept._result = SpanExportResult.FAILURE
    export = an_export(counts)
    export.write(a_tree(), PART, 0)
    await export.close()
    assert (count(counts, "failed"), count(counts, "exported")) == (2, 0)


async def test_an_export_that_hangs_does_not_hold_the_end_up(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(span_export, "CLOSE_SECONDS", 0.05)
    monkeypatch.setattr(span_export, "GIVE_UP_SECONDS", 0.05)
    monkeypatch.setattr(kept, "shutdown", lambda: None)
    counts = Metrics().count_spans()
    export = an_export(counts)
    kept.go_on.clear()
    export.write(a_tree(), PART, 0)
    await asyncio.wait_for(export.close(), 30)
    assert count(counts, "dropped") == 1
    assert "1 spans were not exported before the end" in caplog.text
    kept.go_on.set()


def test_the_environment_says_who_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert span_export._resource().attributes["service.name"] == "llm-d-epp"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=mine,team=a")
    found = span_export._resource().attributes
    assert (found["service.name"], found["team"]) == ("mine", "a")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "named")
    assert span_export._resource().attributes["service.name"] == "named"
