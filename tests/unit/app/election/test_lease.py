from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.app.election.lease import (
    Lease,
    StoredLease,
    WrongLease,
    lease_document,
    micro_time,
    read_lease,
)

WALL = datetime.datetime(2026, 2, 3, 4, 5, 6, 78, tzinfo=datetime.UTC)
TEXT = "2026-02-03T04:05:06.000078Z"
SPEC = {
    "holderIdentity": "a",
    "leaseDurationSeconds": 15,
    "acquireTime": "2026-01-01T00:00:00.000000Z",
    "renewTime": "2026-01-01T00:00:02.000000Z",
    "leaseTransitions": 3,
}
HELD = Lease("a", 15, "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:02.000000Z", 3)


def test_times_are_utc_with_microseconds() -> None:
    assert micro_time(WALL) == TEXT
    east = datetime.timezone(datetime.timedelta(hours=2))
    assert micro_time(WALL.astimezone(east)) == TEXT
    assert micro_time(WALL.replace(microsecond=0)) == "2026-02-03T04:05:06.000000Z"


def test_an_object_as_a_lease() -> None:
    document = {"metadata": {"resourceVersion": "7"}, "spec": SPEC}
    assert read_lease(document) == StoredLease(HELD, document)


@pytest.mark.parametrize("spec", [None, {}, {"holderIdentity": None, "renewTime": None}])
def test_what_nobody_filled_in_is_nobodys(spec: object) -> None:
    stored = read_lease({"metadata": {"resourceVersion": "7"}, "spec": spec})
    assert stored.lease == Lease("", 0, "", "", 0)


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({}, "metadata.resourceVersion"),
        ({"metadata": {"resourceVersion": 7}}, "metadata.resourceVersion"),
        ({"metadata": {"resourceVersion": "7"}, "spec": [1]}, "spec: is not an object"),
        ({"metadata": {"resourceVersion": "7"}, "spec": {"holderIdentity": 1}}, "holderIdentity"),
        (
            {"metadata": {"resourceVersion": "7"}, "spec": {"leaseDurationSeconds": "15"}},
            "leaseDurationSeconds",
        ),
        (
            {"metadata": {"resourceVersion": "7"}, "spec": {"leaseTransitions": -1}},
            "leaseTransitions",
        ),
    ],
)
def test_a_wrong_object_is_told_by_its_field(document: dict[str, object], place: str) -> None:
    with pytest.raises(WrongLease, match=place.replace(".", r"\.")):
        read_lease(document)


def test_to_take_a_lease_is_a_transition() -> None:
    assert HELD.taken_by("b", 20, WALL) == Lease("b", 20, TEXT, TEXT, 4)


def test_to_prolong_it_is_not() -> None:
    assert HELD.prolonged(15, WALL) == Lease("a", 15, HELD.acquired, TEXT, 3)


def test_a_released_one_is_nobodys_and_soon_over() -> None:
    assert HELD.released(WALL) == Lease("", 1, TEXT, TEXT, 3)


def test_what_others_put_into_the_object_stays() -> None:
    document = {
        "metadata": {"resourceVersion": "7", "labels": {"x": "y"}},
        "spec": {**SPEC, "strategy": "OldestEmulationVersion"},
    }
    stored = StoredLease(HELD.prolonged(15, WALL), read_lease(document).document)
    written = lease_document(stored, "n", "ns")
    assert written["metadata"] == {
        "resourceVersion": "7",
        "labels": {"x": "y"},
        "name": "n",
        "namespace": "ns",
    }
    assert written["spec"] == {**document["spec"], "renewTime": TEXT}


def test_a_new_object_has_no_version() -> None:
    written = lease_document(StoredLease(HELD), "n", "ns")
    assert written == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "n", "namespace": "ns"},
        "spec": SPEC,
    }


@given(
    st.builds(Lease, st.text(), st.integers(0, 10**6), st.text(), st.text(), st.integers(0, 10**6))
)
def test_what_is_written_is_read_again(lease: Lease) -> None:
    document = lease_document(StoredLease(lease), "n", "ns")
    document["metadata"]["resourceVersion"] = "1"
    assert read_lease(document).lease == lease
