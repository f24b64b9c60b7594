from __future__ import annotations

import pytest

from epp.telemetry.instruments import CHILDREN_PER_SLICE
from epp.telemetry.legacy import SAMPLES_PER_SLICE, TWINS, Families, with_twins
from epp.telemetry.metrics import PREFIX, LabelCap, Metrics


def some_metrics() -> Metrics:
    metrics = Metrics()
    for flow, priority in (("a", 0), ("b", 0), ("b", 5)):
        children = metrics.children("m", "t", flow, priority)
        children.total.inc()
        children.duration.observe(0.3)
        children.running.inc()
    metrics.scheduler_attempts.labels("success", "t", "pod", "ns", "80").inc()
    metrics.poll_errors.labels("metrics-data-source", "refused").inc()
    metrics.poll_errors.labels("metrics-data-source", "timeout").inc(2)
    metrics.disaggregated("h", "disagg-profile-handler", "m", "prefill-decode")
    metrics.disaggregated("h", "pd-profile-handler", "m", "decode-only")
    return metrics


def samples(wanted: Families) -> dict[str, float]:
    return {
        f"{s.name}{sorted(s.labels.items())}": s.value
        for family in with_twins(some_metrics().registry.collect(), wanted)
        for s in family.samples
    }


def test_a_twin_is_the_sum_over_the_labels_that_it_lacks() -> None:
    found = samples(Families.BOTH)
    models = [("model_name", "m"), ("target_model_name", "t")]
    name = "inference_objective_request_total"
    assert found[f"{name}{sorted([*models, ('priority', '0')])}"] == 2
    assert found[f"{name}{sorted([*models, ('priority', '5')])}"] == 1
    duration = "inference_objective_request_duration_seconds"
    assert found[f"{duration}_count{models}"] == 3
    assert found[f"{duration}_bucket{sorted([*models, ('le', '0.2')])}"] == 0
    assert found[f"{duration}_bucket{sorted([*models, ('le', '0.4')])}"] == 3
    assert found["inference_objective_running_requests[('model_name', 'm')]"] == 3
    polls = "llm_d_inference_scheduler_datalayer_poll_errors_total"
    assert found[f"{polls}[('source_type', 'metrics-data-source')]"] == 3
    shared = [("decision_type", "prefill-decode"), ("model_name", "m")]
    assert found[f"llm_d_inference_scheduler_disagg_decision_total{shared}"] == 1
    alone = [("decision_type", "decode-only"), ("model_name", "m")]
    assert found[f"llm_d_inference_scheduler_pd_decision_total{alone}"] == 1


def test_a_family_in_slices_has_one_twin() -> None:
    metrics = Metrics()
    for n in range(100):
        metrics.children("m", "t", f"flow-{n}", 0).total.inc()
    twins = [
        family
        for family in with_twins(metrics.registry.collect(), Families.BOTH)
        if family.name == "inference_objective_request"
    ]
    assert [[sample.value for sample in twin.samples] for twin in twins] == [[100]]


@pytest.mark.parametrize("wanted", list(Families))
def test_a_large_twin_comes_in_slices_too_and_none_is_left_out(wanted: Families) -> None:
    metrics = Metrics(flow_cap=LabelCap(2000))
    for n in range(1000):
        waited = metrics.waited(("m", "t", f"flow-{n}", "0"), "Dispatched")
        waited.observe(0.3)
    name = "flow_control_request_queue_duration_seconds"
    slices = [
        family
        for family in with_twins(metrics.registry.collect(), wanted)
        if family.name.endswith(name)
    ]
    twins = [family for family in slices if not family.name.startswith(PREFIX)]
    assert all(len(twin.samples) <= SAMPLES_PER_SLICE for twin in twins)
    counts = [s.name for family in slices for s in family.samples if s.name.endswith("_count")]
    names = {Families.CURRENT: 1, Families.LEGACY: 1, Families.BOTH: 2}[wanted]
    assert (len(counts), len(set(counts))) == (1000 * names, names)
    if wanted is Families.LEGACY:  # the time of a slice that is only summed is a step too
        assert sum(not family.samples for family in slices) == 1000 / CHILDREN_PER_SLICE


def test_labels_are_renamed_where_the_older_name_has_another() -> None:
    assert any("('pod_name', 'pod')" in name for name in samples(Families.LEGACY))


@pytest.mark.parametrize(
    ("wanted", "current", "legacy"),
    [
        (Families.BOTH, True, True),
        (Families.CURRENT, True, False),
        (Families.LEGACY, False, True),
    ],
)
def test_the_names_are_selectable(wanted: Families, current: bool, legacy: bool) -> None:
    names = {name.partition("[")[0] for name in samples(wanted)}
    assert ("llm_d_epp_request_total" in names) is current
    assert ("inference_objective_request_total" in names) is legacy
    assert ("llm_d_epp_refusals_total" in names) is False  # nothing was refused


def test_every_twin_keeps_labels_that_its_family_has() -> None:
    families = {f.name.removeprefix(PREFIX): f for f in some_metrics().registry.collect()}
    for name in set(families) & set(TWINS):
        labels = {label for sample in families[name].samples for label in sample.labels}
        if labels:
            assert set(TWINS[name].labels) <= labels, name
