from __future__ import annotations

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from epp.telemetry.instruments import Counter, Gauge, Histogram

BOUNDS = (0.5, 1.5, 2.5)  # texts of which all clients agree on


def samples(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in registry.collect()
        for s in family.samples
        if not s.name.endswith("_created")
    }


@given(st.lists(st.floats(0, 10) | st.sampled_from(BOUNDS), max_size=30))
def test_a_histogram_says_what_prometheus_client_says(values: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Histogram("h", "Text.", ("a",), ours, BOUNDS)
    reference = prometheus_client.Histogram("h", "Text.", ("a",), registry=theirs, buckets=BOUNDS)
    mine.labels("x")
    reference.labels("x")
    for value in values:
        mine.labels("x").observe(value)
        reference.labels("x").observe(value)
    assert samples(ours) == pytest.approx(samples(theirs))


def test_counters_and_gauges_say_what_prometheus_client_says() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    for registry, counter, gauge in (
        (ours, Counter("c", "C.", ("a",), ours), Gauge("g", "G.", ("a",), ours)),
        (
            theirs,
            prometheus_client.Counter("c", "C.", ("a",), registry=theirs),
            prometheus_client.Gauge("g", "G.", ("a",), registry=theirs),
        ),
    ):
        counter.labels("x").inc()
        counter.labels("x").inc(2)
        gauge.labels("y").inc(5)
        gauge.labels("y").dec()
        gauge.labels("z").set(7)
        assert samples(registry)[("c_total", (("a", "x"),))] == 3
    assert samples(ours) == samples(theirs)


def test_a_family_without_labels_is_there_from_the_start() -> None:
    registry = CollectorRegistry()
    counter = Counter("c", "C.", (), registry)
    histogram = Histogram("h", "H.", (), registry, BOUNDS)
    assert samples(registry)[("c_total", ())] == 0
    counter.inc()
    histogram.observe(3)
    assert samples(registry)[("c_total", ())] == 1
    assert samples(registry)[("h_bucket", (("le", "2.5"),))] == 0
    assert samples(registry)[("h_count", ())] == 1


def test_bounds_are_written_as_dashboards_select_them() -> None:
    registry = CollectorRegistry()
    Histogram("h", "H.", (), registry, (0, 0.005, 1, 2.5, 524288, 1048576))
    bounds = [labels[0][1] for name, labels in samples(registry) if name == "h_bucket"]
    assert bounds == ["0", "0.005", "1", "2.5", "524288", "1.048576e+06", "+Inf"]


def test_a_large_family_comes_in_slices_of_one_name() -> None:
    registry = CollectorRegistry()
    counter = Counter("c", "C.", ("a",), registry)
    for n in range(1000):
        counter.labels(str(n)).inc()
    slices = list(counter.collect())
    assert {piece.name for piece in slices} == {"c"}
    assert max(len(piece.samples) for piece in slices) <= 20
    assert sum(len(piece.samples) for piece in slices) == 1000


def test_a_wrong_number_of_label_values_is_named() -> None:
    with pytest.raises(ValueError, match="c: 1 values"):
        Counter("c", "C.", ("a", "b"), CollectorRegistry()).labels("x")


def test_two_families_of_one_name_are_refused() -> None:
    registry = CollectorRegistry()
    Counter("c", "C.", (), registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Counter("c", "C.", (), registry)
