from __future__ import annotations

import pytest

from epp.core.endpoint import EndpointMetrics
from epp.datalayer.store import Change, EndpointSpec, EndpointStore

A = EndpointSpec("a", "10.0.0.1", 8000)
B = EndpointSpec("b", "10.0.0.2", 8000, labels={"zone": "x"})


def test_apply_adds_in_the_order_given() -> None:
    store = EndpointStore()
    change = store.apply([B, A])
    assert [endpoint.name for endpoint in store.endpoints] == ["b", "a"]
    assert change.added == store.endpoints
    assert store.endpoints[0].labels == {"zone": "x"}


def test_an_endpoint_that_stays_keeps_its_object_metrics_and_load() -> None:
    store = EndpointStore()
    store.apply([A, B])
    kept = store.endpoints[0]
    kept.metrics = metrics = EndpointMetrics(running=3)
    kept.load.requests = 2
    relabelled = EndpointSpec("a", "10.0.0.1", 8000, labels={"role": "decode"})
    change = store.apply([relabelled])
    assert store.endpoints == (kept,)
    assert kept.metrics is metrics
    assert kept.load.requests == 2
    assert kept.labels == {"role": "decode"}
    assert change.updated == (kept,)
    assert [endpoint.name for endpoint in change.removed] == ["b"]


@pytest.mark.parametrize(
    "moved",
    [
        pytest.param(EndpointSpec("a", "10.0.0.9", 8000), id="address"),
        pytest.param(EndpointSpec("a", "10.0.0.1", 8001), id="port"),
    ],
)
def test_behind_another_address_is_another_server(moved: EndpointSpec) -> None:
    store = EndpointStore()
    store.apply([A])
    before = store.endpoints[0]
    before.load.requests = 5
    change = store.apply([moved])
    assert change.removed == (before,)
    assert change.added == store.endpoints
    assert store.endpoints[0].load.requests == 0


def test_namespaces_keep_equal_names_apart() -> None:
    store = EndpointStore()
    store.apply([A, EndpointSpec("a", "10.0.0.1", 8000, namespace="other")])
    assert len(store.endpoints) == 2


def test_an_id_given_twice_is_refused_and_changes_nothing() -> None:
    store = EndpointStore()
    store.apply([A])
    with pytest.raises(ValueError, match="same namespace and name"):
        store.apply([B, B])
    assert [endpoint.name for endpoint in store.endpoints] == ["a"]


def test_subscribers_are_called_after_the_swap_and_only_for_news() -> None:
    store = EndpointStore()
    seen: list[tuple[Change, int]] = []
    unsubscribe = store.subscribe(lambda change: seen.append((change, len(store.endpoints))))
    store.apply([A, B])
    store.apply([A, B])
    assert [(len(change.added), size) for change, size in seen] == [(2, 2)]
    unsubscribe()
    store.apply([])
    assert len(seen) == 1


def test_a_reader_keeps_the_tuple_that_it_took() -> None:
    store = EndpointStore()
    store.apply([A, B])
    taken = store.candidates
    store.apply([])
    assert len(taken) == 2
    assert store.candidates == ()


def test_candidates_are_the_reachable_ones() -> None:
    store = EndpointStore()
    store.apply([A, B])
    first, second = store.endpoints
    assert store.set_reachable(first, False)
    assert not store.set_reachable(first, False)
    assert store.candidates == (second,)
    store.apply([A, B])
    assert store.candidates == (second,)
    assert store.set_reachable(first, True)
    assert store.candidates == (first, second)
    assert store.endpoints == (first, second)


def test_ports_of_one_pod_share_its_name_and_others_have_their_own() -> None:
    store = EndpointStore()
    store.apply(
        [
            EndpointSpec("m0-rank-0", "10.0.0.1", 1, pod_name="m0"),
            EndpointSpec("m0-rank-1", "10.0.0.1", 2, pod_name="m0"),
            EndpointSpec("gpu", "10.0.0.2", 1),
        ]
    )
    assert [endpoint.pod_name for endpoint in store.endpoints] == ["m0", "m0", "gpu"]
