from __future__ import annotations

import pytest

from epp.telemetry.legacy import TWINS, Families, with_twins
from epp.telemetry.metrics import PREFIX, Metrics


def some_metrics() -> Metrics:
    metrics = Metrics()
    for flow, priority in (("a", 0), ("b", 0), ("b", 5)):
        children = metrics.children("m", "t", flow, priority)
        children.total.inc()
        children.duration.observe(0.3)
        children.running.inc()
    metrics.scheduler_attempts.labels("success", "t", "pod", "ns", "80").inc()
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
