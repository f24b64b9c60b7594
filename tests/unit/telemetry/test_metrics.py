from __future__ import annotations

from epp.telemetry.metrics import MAX_EXEMPT, MAX_LABEL_CHARACTERS, OTHER, LabelCap, Metrics


def test_values_beyond_the_cap_are_folded() -> None:
    cap = LabelCap(2)
    assert [cap(name) for name in ("a", "b", "c", "a", "")] == ["a", "b", OTHER, "a", ""]


def test_names_from_the_configuration_never_fold_and_cost_nothing() -> None:
    cap = LabelCap(1)
    cap.exempt(["x", "y"])
    assert [cap(name) for name in ("a", "x", "y", "b")] == ["a", "x", "y", OTHER]


def test_names_from_the_cluster_are_bounded_too() -> None:
    cap = LabelCap(1)
    for start in range(0, 3 * MAX_EXEMPT, 1000):
        cap.exempt(f"m{n}" for n in range(start, start + 1000))
    assert cap("m0") == "m0"
    assert cap(f"m{MAX_EXEMPT - 1}") == f"m{MAX_EXEMPT - 1}"
    assert [cap(f"m{MAX_EXEMPT}"), cap("last")] == [f"m{MAX_EXEMPT}", OTHER]


def test_children_are_bound_once_and_bounded() -> None:
    metrics = Metrics(model_cap=LabelCap(3))
    first = metrics.children("m", "t", "f", 0)
    assert metrics.children("m", "t", "f", 0) is first
    for n in range(50):
        metrics.children(f"model-{n}", "t", "f", 0).total.inc()
    series = [
        sample
        for family in metrics.registry.collect()
        if family.name == "llm_d_epp_request"
        for sample in family.samples
        if sample.name.endswith("_total")
    ]
    assert {sample.labels["model_name"] for sample in series} == {"m", "model-0", OTHER}
    assert len(metrics._children) == 2


def test_what_endpoints_had_goes_with_them() -> None:
    metrics = Metrics()
    for pod in ("a", "b"):
        for port in ("1", "2"):
            metrics.scheduler_attempts.labels("success", "m", pod, "ns", port).inc()
    metrics.scheduler_attempts.labels("failure", "m", "", "", "").inc()
    metrics.forget_endpoints([("a", "ns", "1"), ("b", "other", "1")])
    family = next(iter(metrics.scheduler_attempts.collect()))
    left = [(s.labels["endpoint_name"], s.labels["port"]) for s in family.samples]
    assert left == [("a", "2"), ("b", "1"), ("b", "2"), ("", "")]


def test_rewrites_are_counted_under_the_caps() -> None:
    metrics = Metrics(model_cap=LabelCap(10), rewrite_cap=LabelCap(1))
    for rewrite in ("a", "a", "b", "c"):
        metrics.rewrote(rewrite, "chat", "chat-v1")
    family = next(iter(metrics.rewrites.collect()))
    counts = {sample.labels["model_rewrite_name"]: sample.value for sample in family.samples}
    assert counts == {"a": 2, OTHER: 2}


def test_names_of_plugins_are_bounded() -> None:
    metrics = Metrics(plugin_cap=LabelCap(1))
    for name in ("a", "b", "c", "a"):
        metrics.plugin_timer("Scorer", "queue-scorer", name).observe(0.00015)
    family = next(iter(metrics.plugin_duration.collect()))
    counts = {
        sample.labels["plugin_name"]: sample.value
        for sample in family.samples
        if sample.name == "llm_d_epp_plugin_duration_seconds_count"
    }
    assert counts == {"a": 2, OTHER: 2}


def test_a_value_that_would_fill_pages_is_folded_and_uses_no_budget() -> None:
    cap = LabelCap(1)
    longest = "x" * MAX_LABEL_CHARACTERS
    assert cap(longest + "x") == OTHER
    assert cap(longest) == longest
