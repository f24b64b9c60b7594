from __future__ import annotations

import pytest

from epp.bodyrouting.actions import Note, Outcome
from epp.bodyrouting.metrics import BodyRouterMetrics


def series(metrics: BodyRouterMetrics) -> dict[str, float]:
    """All that is not zero, by name and label values."""
    return {
        ".".join((sample.name, *sample.labels.values())): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.value and sample.name.endswith("_total")
    }


@pytest.mark.parametrize(
    ("note", "counted"),
    [
        (Note(Outcome.SUCCESS), ["bbr_success_total"]),
        (
            Note(Outcome.SUCCESS, base_model_unknown=True),
            ["bbr_success_total", "bbr_base_model_not_found_total"],
        ),
        (
            Note(Outcome.MISSING, missing=("model",)),
            ["bbr_model_not_in_body_total", "bbr_body_field_not_found_total.model"],
        ),
        (Note(Outcome.MISSING, missing=("user",)), ["bbr_body_field_not_found_total.user"]),
        (
            Note(Outcome.UNREADABLE, empty=("model",)),
            ["bbr_model_not_parsed_total", "bbr_body_field_empty_total.model"],
        ),
        (
            Note(Outcome.NOT_JSON, missing=("model",)),
            ["bbr_model_not_parsed_total", "bbr_body_field_not_found_total.model"],
        ),
        (Note(Outcome.NOT_READ), []),
        (Note(Outcome.CONTRADICTED), []),
    ],
    ids=str,
)
def test_a_request_is_counted_under_the_names_of_the_field(note: Note, counted: list[str]) -> None:
    metrics = BodyRouterMetrics()
    metrics.note(note)
    expected = [f"bbr_requests_total.{note.outcome.value}", *counted]
    assert series(metrics) == dict.fromkeys(expected, 1.0)


def test_every_outcome_is_on_the_page_from_the_start() -> None:
    [family] = [
        family for family in BodyRouterMetrics().registry.collect() if family.name == "bbr_requests"
    ]
    assert {sample.labels["outcome"] for sample in family.samples} == set(Outcome)
