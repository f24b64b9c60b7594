from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.datalayer.discovery.kubernetes.fields import BadField
from epp.datalayer.discovery.kubernetes.objects import (
    LegacyModel,
    Objective,
    Pod,
    Pool,
    PoolRef,
    Rewrite,
    Rule,
    Target,
    read_legacy_model,
    read_objective,
    read_pod,
    read_pool,
    read_rewrite,
)

READY = {"type": "Ready", "status": "True"}
POOL = PoolRef("inference.networking.k8s.io", "pool")


def pod(
    *, metadata: Mapping[str, Any] | None = None, status: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "ns", "name": "m0", "labels": {"app": "m"}, **(metadata or {})},
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "conditions": [READY],
            **(status or {}),
        },
    }


def test_a_pod() -> None:
    assert read_pod(pod()) == Pod("ns", "m0", "10.0.0.1", {"app": "m"}, None, serves=True)


@pytest.mark.parametrize(
    ("changed", "serves"),
    [
        pytest.param(pod(status={"podIP": "fd00::7"}), True, id="ipv6"),
        pytest.param(pod(status={"phase": "Pending"}), True, id="pending-and-ready"),
        pytest.param(pod(status={"phase": "Failed"}), False, id="failed"),
        pytest.param(pod(status={"phase": "Succeeded"}), False, id="succeeded"),
        pytest.param(pod(metadata={"deletionTimestamp": "2026-01-01"}), False, id="deleting"),
        pytest.param(pod(status={"conditions": []}), False, id="no-conditions"),
        pytest.param(pod(status={"conditions": None}), False, id="null-conditions"),
        pytest.param(
            pod(status={"conditions": [{"type": "Ready", "status": "False"}]}), False, id="unready"
        ),
        pytest.param(
            pod(status={"conditions": [{"type": "Ready", "status": "Unknown"}]}), False, id="node"
        ),
        pytest.param(
            pod(status={"conditions": [{"type": "PodScheduled", "status": "True"}, READY]}),
            True,
            id="other-conditions",
        ),
        pytest.param({"metadata": {"name": "m0"}}, False, id="nothing-but-a-name"),
    ],
)
def test_which_pods_serve(changed: dict[str, Any], serves: bool) -> None:
    assert read_pod(changed).serves is serves


NEW, OLD = "llm-d.ai/active-ports", "inference.networking.k8s.io/active-ports"


@pytest.mark.parametrize(
    ("annotations", "ports"),
    [
        (None, None),
        ({}, None),
        ({NEW: "8000"}, {8000}),
        ({NEW: " 8000 , 8001"}, {8000, 8001}),
        ({OLD: "8000"}, {8000}),
        ({NEW: "8001", OLD: "8000"}, {8001}),
        ({NEW: ""}, set()),
        ({NEW: "", OLD: "8000"}, set()),
        ({NEW: "x,8000,-1,1e3"}, {8000}),
        ({NEW: "9" * 5000}, set()),
    ],
)
def test_active_ports(annotations: object, ports: set[int] | None) -> None:
    assert read_pod(pod(metadata={"annotations": annotations})).active_ports == ports


def test_what_does_not_concern_us_makes_no_difference() -> None:
    other = pod(metadata={"resourceVersion": "9", "annotations": {"x": "y"}})
    other["spec"] = {"containers": []}
    assert read_pod(other) == read_pod(pod())


def pool(**spec: object) -> dict[str, Any]:
    return {
        "metadata": {"name": "pool"},
        "spec": {
            "selector": {"matchLabels": {"app": "m"}},
            "targetPorts": [{"number": 8000}, {"number": 8001}],
            **spec,
        },
    }


def test_a_pool() -> None:
    assert read_pool(pool()) == Pool({"app": "m"}, (8000, 8001), deleting=False)
    leaving = pool()
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert read_pool(leaving).deleting


def test_a_pool_of_the_former_group() -> None:
    old = {"spec": {"selector": {"app": "m"}, "targetPortNumber": 8000}}
    assert read_pool(old) == Pool({"app": "m"}, (8000,), deleting=False)


def test_an_objective() -> None:
    spec = {"priority": -3, "poolRef": {"name": "pool"}}
    assert read_objective({"metadata": {"name": "o"}, "spec": spec}) == Objective("o", POOL, -3)
    del spec["priority"]
    assert read_objective({"metadata": {"name": "o"}, "spec": spec}).priority == 0


def rewrite(*rules: object, ref: object = None) -> dict[str, Any]:
    metadata = {"name": "r", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata, "spec": {"poolRef": ref or {"name": "pool"}, "rules": [*rules]}}


def test_a_rewrite() -> None:
    raw = rewrite(
        {
            "matches": [{"model": {"type": "Exact", "value": "a"}}, {"model": {"value": "b"}}],
            "targets": [{"modelRewrite": "c", "weight": 90}, {"modelRewrite": "d"}],
        },
        {"targets": [{"modelRewrite": "e"}]},
        ref={"name": "pool", "group": "example.com"},
    )
    assert read_rewrite(raw) == Rewrite(
        "r",
        PoolRef("example.com", "pool"),
        "2026-01-01T00:00:00Z",
        (
            Rule(("a", "b"), (Target("c", 90), Target("d", None))),
            Rule((), (Target("e", None),)),
        ),
    )


def test_an_inference_model() -> None:
    spec = {
        "modelName": "chat",
        "criticality": "Critical",
        "poolRef": {"name": "pool"},
        "targetModels": [{"name": "chat-v1", "weight": 1}],
    }
    raw = {"metadata": {"name": "m", "creationTimestamp": "t"}, "spec": spec}
    ref = PoolRef("inference.networking.x-k8s.io", "pool")
    expected = LegacyModel("m", ref, "t", "chat", "Critical", (Target("chat-v1", 1),))
    assert read_legacy_model(raw) == expected


def named(**spec: object) -> dict[str, Any]:
    return {"metadata": {"name": "x"}, "spec": {"poolRef": {"name": "pool"}, **spec}}


TARGET = {"modelRewrite": "x"}


@pytest.mark.parametrize(
    ("read", "raw", "message"),
    [
        (read_pod, pod(status={"podIP": "host"}), "status.podIP: 'host' is not an IP address"),
        (read_pod, pod(metadata={"labels": {"a": 1}}), "metadata.labels.a: a text is expected"),
        (read_pool, pool(selector=None), "spec.selector: is empty"),
        (read_pool, pool(selector={"matchLabels": {}}), "spec.selector: is empty"),
        (read_pool, pool(targetPorts=[]), "spec.targetPorts: 1 to 8 are needed, not 0"),
        (read_pool, pool(targetPorts=[{"number": 0}]), "spec.targetPorts[0].number: 0 is not"),
        (read_pool, pool(targetPorts=[{}]), "spec.targetPorts[0].number: is missing"),
        (read_pool, pool(targetPorts=[{"number": 1}] * 2), "a port is given twice"),
        (read_pool, pool(targetPorts=[7]), "spec.targetPorts[0]: a mapping is expected"),
        (read_objective, named(priority="high"), "spec.priority: an integer is expected"),
        (read_objective, named(priority=1 << 31), "spec.priority: 2147483648 is not in"),
        (read_objective, named(poolRef={}), "spec.poolRef.name: is missing"),
        (read_rewrite, rewrite({"targets": []}), "spec.rules[0].targets: at least one"),
        (read_rewrite, rewrite({"targets": [{}]}), "spec.rules[0].targets[0].modelRewrite: is"),
        (
            read_rewrite,
            rewrite({"targets": [{**TARGET, "weight": -1}]}),
            "spec.rules[0].targets[0].weight: -1 is not in",
        ),
        (
            read_rewrite,
            rewrite({"targets": [TARGET], "matches": [{"model": {"type": "Regex", "value": "a"}}]}),
            "spec.rules[0].matches[0].model.type: 'Regex' is not known",
        ),
        (
            read_rewrite,
            rewrite({"targets": [TARGET], "matches": [{}]}),
            "spec.rules[0].matches[0].model.value: is missing",
        ),
        (read_legacy_model, named(modelName="m", criticality="Huge"), "spec.criticality: 'Huge'"),
        (read_legacy_model, named(), "spec.modelName: is missing"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(
    read: Callable[[Any], object], raw: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadField) as caught:
        read(raw)
    assert message in str(caught.value)


KEYS = [
    *("metadata", "spec", "status", "name", "labels", "annotations", "conditions", "podIP"),
    *("selector", "matchLabels", "targetPorts", "number", "rules", "targets", "matches", "model"),
    *("value", "weight", "modelRewrite", "poolRef", "priority"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*KEYS, NEW]), inner, max_size=5)
    ),
    max_leaves=30,
)


@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), JSON))
def test_any_object_is_read_or_refused_and_nothing_else(raw: dict[str, Any]) -> None:
    for read in (read_pod, read_pool, read_objective, read_rewrite, read_legacy_model):
        with contextlib.suppress(BadField):
            read(raw)
