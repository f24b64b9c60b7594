from __future__ import annotations

import pytest

from epp.scheduling.plugins.capacity_detector import CapacityDetector
from tests.helpers.build import an_endpoint

NOW = 100.0


@pytest.mark.parametrize(
    ("places", "waiting", "room"),
    [
        pytest.param(0, 4, True, id="places-unknown"),
        pytest.param(0, 5, False, id="a-long-queue-all-the-same"),
        pytest.param(8, 0, True, id="nobody-waits"),
        pytest.param(8, 1, False, id="one-waits-for-a-place"),
    ],
)
def test_room(places: int, waiting: int, room: bool) -> None:
    endpoint = an_endpoint(waiting=waiting, read_at=NOW)
    endpoint.load.places = places
    assert bool(CapacityDetector().with_room([endpoint], NOW)) is room


def test_a_nearly_full_kv_cache_is_not_full() -> None:
    assert CapacityDetector().with_room([an_endpoint(kv_cache_usage=0.97, read_at=NOW)], NOW)
    assert not CapacityDetector().with_room([an_endpoint(kv_cache_usage=0.98, read_at=NOW)], NOW)


def test_without_evidence_one_more_than_its_places_is_one_too_many() -> None:
    silent = an_endpoint(waiting=1, read_at=NOW - 11)
    silent.load.places = 4
    silent.load.requests = 4
    assert CapacityDetector().with_room([silent], NOW)
    silent.load.requests = 5
    assert not CapacityDetector().with_room([silent], NOW)
