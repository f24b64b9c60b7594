from __future__ import annotations

from dataclasses import replace

import pytest

from epp.datalayer.discovery.kubernetes.objects import (
    LegacyModel,
    Objective,
    Pod,
    PoolRef,
    Rewrite,
    Rule,
    Target,
)
from epp.datalayer.discovery.kubernetes.view import (
    ClusterRouting,
    PodEndpoints,
    routing_of,
    specs_of,
)
from epp.datalayer.store import EndpointSpec

POD = Pod("ns", "m0", "10.0.0.1", {"app": "m"}, None, serves=True)
POOL = PoolRef("inference.networking.k8s.io", "pool")
OLD = PoolRef("inference.networking.x-k8s.io", "pool")


def test_an_endpoint_a_port_with_its_rank_in_the_name() -> None:
    assert specs_of(POD, (8000, 8001)) == (
        EndpointSpec("m0-rank-0", "10.0.0.1", 8000, "ns", {"app": "m"}, "m0"),
        EndpointSpec("m0-rank-1", "10.0.0.1", 8001, "ns", {"app": "m"}, "m0"),
    )


@pytest.mark.parametrize(
    ("active", "names"),
    [
        ({8001}, ["m0-rank-1"]),
        ({8001, 8000}, ["m0-rank-0", "m0-rank-1"]),
        ({9000}, []),
        (set(), []),
    ],
)
def test_only_active_ports_that_are_target_ports_too(active: set[int], names: list[str]) -> None:
    pod = replace(POD, active_ports=frozenset(active))
    assert [spec.name for spec in specs_of(pod, (8000, 8001))] == names


@pytest.mark.parametrize("pod", [replace(POD, serves=False), replace(POD, address="")])
def test_a_pod_that_does_not_serve_has_no_endpoints(pod: Pod) -> None:
    assert specs_of(pod, (8000,)) == ()


def test_endpoints_are_ordered_by_pod_and_rank() -> None:
    pods = {("ns", name): replace(POD, name=name) for name in ("c", "a", "b")}
    names = [spec.name for spec in PodEndpoints().specs(pods, (1, 2))]
    assert names == ["a-rank-0", "a-rank-1", "b-rank-0", "b-rank-1", "c-rank-0", "c-rank-1"]


def test_specs_follow_pods_and_ports() -> None:
    endpoints = PodEndpoints()
    pods = {("ns", "m0"): POD}
    first = endpoints.specs(pods, (8000,))
    assert endpoints.specs(pods, (8000,))[0] is first[0]
    assert [s.port for s in endpoints.specs(pods, (9000,))] == [9000]
    pods["ns", "m0"] = replace(POD, address="10.0.0.2")
    assert [s.address for s in endpoints.specs(pods, (9000,))] == ["10.0.0.2"]
    assert endpoints.specs({}, (9000,)) == ()


def a_rewrite(name: str, created: str, pool: PoolRef = POOL) -> Rewrite:
    return Rewrite(name, pool, created, (Rule((), (Target(name, None),)),))


def test_only_what_refers_to_the_pool_by_name_and_group() -> None:
    routing = routing_of(
        POOL,
        [
            Objective("a", POOL, 1),
            Objective("b", OLD, 2),
            Objective("c", PoolRef(POOL.group, "x"), 3),
        ],
        [a_rewrite("r", "1"), a_rewrite("s", "1", OLD)],
        [],
    )
    assert routing.priorities == (("a", 1),)
    assert [name for name, _ in routing.rewrites] == ["r"]


def test_the_oldest_rewrite_comes_first_then_the_name_decides() -> None:
    times = {
        "new": "2026-02-01T00:00:00Z",
        "b": "2026-01-01T00:00:00Z",
        "a": "2026-01-01T00:00:00Z",
    }
    rewrites = [a_rewrite(name, created) for name, created in times.items()]
    routing = routing_of(POOL, [], rewrites, [])
    assert [name for name, _ in routing.rewrites] == ["a", "b", "new"]


def a_model(name: str, criticality: str, *targets: Target, pool: PoolRef = OLD) -> LegacyModel:
    return LegacyModel(name, pool, "2025-01-01T00:00:00Z", f"{name}-model", criticality, targets)


def test_inference_models_come_after_rewrites() -> None:
    models = [
        a_model("gold", "Critical", Target("gold-v1", 1)),
        a_model("plain", ""),
        a_model("batch", "Sheddable", pool=POOL),
        a_model("other", "Critical", pool=PoolRef(OLD.group, "x")),
    ]
    routing = routing_of(POOL, [], [a_rewrite("r", "2026")], models)
    assert dict(routing.model_priorities) == {
        "gold-model": 1,
        "plain-model": 0,
        "batch-model": -1,
    }
    assert [name for name, _ in routing.rewrites] == ["r", "gold"]
    rules = dict(routing.rewrites)
    assert rules["gold"] == (Rule(("gold-model",), (Target("gold-v1", 1),)),)


def test_nothing_is_nothing() -> None:
    assert routing_of(POOL, [], [], []) == ClusterRouting()
