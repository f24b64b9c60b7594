from __future__ import annotations

import pytest

from epp.telemetry.trace_context import ALL_IDS, Sampler
from epp.telemetry.tracing_settings import (
    DEFAULT_BATCH_SPANS,
    Exporter,
    TracingSettings,
    tracing_settings,
)


def settings(**environment: str) -> TracingSettings:
    return tracing_settings(environment, enabled=True)


@pytest.mark.parametrize(
    ("environment", "exporter", "says"),
    [
        ({}, None, "neither OTEL_TRACES_EXPORTER nor an OTLP endpoint is set"),
        ({"OTEL_TRACES_EXPORTER": ""}, None, "neither"),
        ({"OTEL_TRACES_EXPORTER": "none"}, None, "none"),
        (
            {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"},
            None,
            "none",
        ),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_TRACES_EXPORTER": "otlp"}, None, "OTEL_SDK_DISABLED"),
        ({"OTEL_TRACES_EXPORTER": "console"}, Exporter.CONSOLE, "standard output"),
        ({"OTEL_TRACES_EXPORTER": "OTLP"}, Exporter.GRPC, "to localhost:4317"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, Exporter.GRPC, "to http://c:4317"),
        (
            {
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:4318",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            },
            Exporter.HTTP,
            "to http://t:4318",
        ),
        (
            {
                "OTEL_TRACES_EXPORTER": "otlp",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            },
            Exporter.HTTP,
            "to localhost:4318",
        ),
    ],
)
def test_where_spans_go(environment: dict[str, str], exporter: Exporter | None, says: str) -> None:
    found = settings(**environment)
    assert found.exporter is exporter
    assert says in found.says
    assert found.problems == ()


def test_the_flag_comes_before_the_variables() -> None:
    found = tracing_settings({"OTEL_TRACES_EXPORTER": "otlp"}, enabled=False)
    assert (found.exporter, found.says) == (None, "no spans: --tracing=false")


@pytest.mark.parametrize(
    ("name", "argument", "sampler"),
    [
        ("", "", Sampler(True, round(0.1 * ALL_IDS))),
        ("parentbased_traceidratio", "0.25", Sampler(True, ALL_IDS // 4)),
        ("traceidratio", "0.5", Sampler(False, ALL_IDS // 2)),
        ("always_on", "0.5", Sampler(False, ALL_IDS)),
        ("always_off", "", Sampler(False, 0)),
        ("parentbased_always_on", "", Sampler(True, ALL_IDS)),
        ("parentbased_always_off", "", Sampler(True, 0)),
    ],
)
def test_the_standard_samplers(name: str, argument: str, sampler: Sampler) -> None:
    found = settings(
        OTEL_TRACES_EXPORTER="otlp", OTEL_TRACES_SAMPLER=name, OTEL_TRACES_SAMPLER_ARG=argument
    )
    assert (found.sampler, found.problems) == (sampler, ())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "often"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "0"),
    ],
)
def test_what_cannot_be_read_is_the_default_and_said(variable: str, value: str) -> None:
    expected = settings(OTEL_TRACES_EXPORTER="otlp")
    found = settings(OTEL_TRACES_EXPORTER="otlp", **{variable: value})
    assert (found.exporter, found.sampler) == (expected.exporter, expected.sampler)
    assert (found.queue_spans, found.batch_spans) == (expected.queue_spans, expected.batch_spans)
    [problem] = found.problems
    assert problem.startswith(f"{variable}: '{value}'")


def test_an_exporter_that_is_not_here_is_no_exporter() -> None:
    found = settings(OTEL_TRACES_EXPORTER="zipkin")
    assert found.exporter is None
    assert "'zipkin' is neither otlp, console nor none" in found.problems[0]


def test_a_batch_is_no_larger_than_the_queue() -> None:
    found = settings(OTEL_TRACES_EXPORTER="otlp", OTEL_BSP_MAX_QUEUE_SIZE="10")
    assert (found.queue_spans, found.batch_spans) == (10, 10)
    found = settings(OTEL_TRACES_EXPORTER="otlp", OTEL_BSP_MAX_QUEUE_SIZE="1000")
    assert found.batch_spans == DEFAULT_BATCH_SPANS
