import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from epp.simulation.exposition import (
    Family,
    Histogram,
    Section,
    counter,
    gauge,
    histogram,
    labels,
    render,
    summary,
)

PLACE = labels({"b": "2", "a": "1"})


def page(*families: Family, names: set[str] | None = None) -> list[str]:
    return render([Section("", lambda: families)], names).decode().splitlines()


def test_a_counter_has_a_creation_time() -> None:
    assert page(*counter("x", "Things.", [(PLACE, 3)], 1.7951822568e9)) == [
        "# HELP x_total Things.",
        "# TYPE x_total counter",
        'x_total{a="1",b="2"} 3.0',
        "# HELP x_created Things.",
        "# TYPE x_created gauge",
        'x_created{a="1",b="2"} 1.7951822568e+09',
    ]


def test_a_gauge_without_labels() -> None:
    assert page(gauge("g", "Level.", [((), 0.5)]))[-1] == "g 0.5"


def test_a_summary_is_a_count_and_a_sum() -> None:
    lines = page(*summary("s", "Sizes.", [((), 2, 30)], 1.0))
    assert lines[1:4] == ["# TYPE s summary", "s_count 2.0", "s_sum 30.0"]


@given(st.lists(st.floats(0, 20), max_size=30))
def test_buckets_are_cumulative_and_inclusive(values: list[float]) -> None:
    observed = Histogram((1.0, 5.0, 10.0))
    for value in values:
        observed.observe(value)
    family, _ = histogram("h", "Times.", [((), observed)], 1.0)
    samples = [value for _, _, value in family.samples]
    expected = [sum(v <= bound for v in values) for bound in (1.0, 5.0, 10.0)]
    assert samples[:5] == [*expected, len(values), len(values)]
    assert samples[5] == pytest.approx(sum(values))


def test_bounds_are_labels_in_alphabetical_place() -> None:
    family, _ = histogram(
        "h", "Times.", [(labels({"engine": "0", "model": "m"}), Histogram((1,)))], 1
    )
    assert page(family)[2:4] == [
        'h_bucket{engine="0",le="1.0",model="m"} 0.0',
        'h_bucket{engine="0",le="+Inf",model="m"} 0.0',
    ]


def test_names_choose_samples_and_drop_empty_families() -> None:
    families = [*counter("x", "Things.", [((), 3)], 1.0), gauge("y", "Level.", [((), 1)])]
    assert page(*families, names={"x_total"}) == [
        "# HELP x_total Things.",
        "# TYPE x_total counter",
        "x_total 3.0",
    ]


def test_sections_that_nobody_asks_for_are_not_made() -> None:
    def never() -> list[Family]:
        raise AssertionError("made")

    wanted = Section("a_", lambda: [gauge("a_b", "Level.", [((), 1)])])
    assert render([Section("x_", never), wanted], {"a_b"}).endswith(b"a_b 1.0\n")


@given(st.text())
def test_any_label_value_can_be_read_back(value: str) -> None:
    text = render([Section("", lambda: [gauge("g", "Level.", [((("l", value),), 1)])])])
    families = list(text_string_to_metric_families(text.decode()))
    assert families[0].samples[0].labels == {"l": value}
