from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from epp.admin.exposition import SAMPLES_PER_PIECE, render
from epp.telemetry.instruments import Counter as SlicedCounter


def a_registry(children: int = 2) -> CollectorRegistry:
    registry = CollectorRegistry()
    counter = Counter("requests", "Line\nbreak \\ and more", ("model",), registry=registry)
    histogram = Histogram("seconds", "Time.", ("model",), registry=registry, buckets=(1, 2.5))
    gauge = Gauge("load", "Load.", registry=registry)
    for n in range(children):
        counter.labels(f'odd "{n}"\n\\').inc(n)
        histogram.labels(str(n)).observe(2)
    gauge.set(float("inf"))
    return registry


def test_an_independent_parser_reads_the_same() -> None:
    registry = a_registry()
    text = b"".join(render(registry.collect())).decode()
    parsed = {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }
    expected = {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in registry.collect()
        for s in family.samples
        if not s.name.endswith("_created")
    }
    assert parsed == expected
    assert "# TYPE requests_total counter" in text
    assert "\nload +Inf\n" in text
    assert '\nseconds_count{model="1"} 1\n' in text


def test_a_family_that_comes_in_slices_has_one_head() -> None:
    registry = CollectorRegistry()
    counter = SlicedCounter("c", "C.", ("a",), registry)
    for n in range(100):
        counter.labels(str(n)).inc()
    text = b"".join(render(registry.collect())).decode()
    assert text.count("# TYPE c_total counter") == 1
    assert text.count("\nc_total{") == 100


def test_a_large_family_comes_in_pieces() -> None:
    pieces = list(render(a_registry(children=1000).collect()))
    assert len(pieces) > 5
    assert all(piece.count(b"\n") <= SAMPLES_PER_PIECE + 1 for piece in pieces)
    assert all(piece.endswith(b"\n") for piece in pieces)


def test_a_later_slice_without_samples_ends_a_piece() -> None:
    head, more = Metric("g", "G.", "gauge"), Metric("g", "G.", "gauge")
    more.add_sample("g", {}, 1.0)
    pieces = list(render([head, Metric("g", "G.", "gauge"), Metric("g", "G.", "gauge"), more]))
    assert pieces == [b"# HELP g G.\n# TYPE g gauge\n", b"", b"g 1\n"]
    assert len(list(render([head, Metric("h", "H.", "gauge"), more]))) == 1  # nobody has a value
