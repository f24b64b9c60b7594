from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from epp.app.tracing import assemble_tracing
from epp.telemetry.metrics import Metrics
from epp.telemetry.tracing_settings import UNSET, TracingSettings, tracing_settings

CONSOLE = {"OTEL_TRACES_EXPORTER": "console"}


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "epp.app.tracing"]


def test_without_an_exporter_there_is_a_line_and_no_series(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    metrics = Metrics()
    tracing = assemble_tracing(TracingSettings(), metrics.count_spans)
    assert (tracing.tracer, tracing.closing) == (None, ())
    assert messages(caplog) == [f"tracing: no spans: {UNSET}"]
    assert all("trace_spans" not in family.name for family in metrics.registry.collect())


async def test_with_one_there_is_a_tracer_that_is_closed_at_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    settings = tracing_settings({**CONSOLE, "OTEL_TRACES_SAMPLER": "often"}, enabled=True)
    tracing = assemble_tracing(settings, Metrics().count_spans)
    assert tracing.tracer is not None
    [close] = tracing.closing
    await close()
    problem, what = messages(caplog)
    assert problem.startswith("tracing: OTEL_TRACES_SAMPLER: 'often'")
    assert what.startswith("tracing: spans go to standard output")


def test_what_the_sdk_does_not_take_costs_the_spans_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "0")
    settings = tracing_settings(CONSOLE, enabled=True)
    assert assemble_tracing(settings, Metrics().count_spans).tracer is None
    [line] = messages(caplog)
    assert line.startswith("tracing: no spans: ValueError: schedule_delay_millis")


def test_packages_that_do_not_fit_each_other_cost_the_spans_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "epp.telemetry.span_export", None)  # its import fails
    settings = tracing_settings(CONSOLE, enabled=True)
    assert assemble_tracing(settings, Metrics().count_spans).tracer is None
    [line] = messages(caplog)
    assert line.startswith("tracing: no spans: ModuleNotFoundError")


def test_the_sdk_is_imported_only_where_spans_go() -> None:
    program = "import sys, epp.cli.serve; print(sorted(m for m in sys.modules if 'telemetry' in m))"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert "epp.telemetry.trace_context" in found
    assert "opentelemetry" not in found
