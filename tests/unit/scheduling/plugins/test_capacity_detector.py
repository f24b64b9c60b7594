from __future__ import annotations

import pytest

from epp.scheduling.plugins.capacity_detector import CapacityDetector
from epp.scheduling.readings import TURNOVERS
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


@pytest.mark.parametrize(
    ("in_engine", "ended", "read_at", "room"),
    [
        pytest.param(3, 0, NOW, True, id="one-is-free"),
        pytest.param(4, 0, NOW, False, id="all-are-taken"),
        pytest.param(4, TURNOVERS * 4 - 1, NOW, False, id="its-queue-showed-them-lately"),
        pytest.param(4, TURNOVERS * 4, NOW, True, id="one-more-tries-if-there-are-more"),
        pytest.param(4, 0, NOW - 1, True, id="the-reading-is-old"),
    ],
)
def test_room_in_an_engine_without_a_queue_is_a_place(
    in_engine: int, ended: int, read_at: float, room: bool
) -> None:
    busy = an_endpoint(running=4, read_at=read_at)
    busy.load.places, busy.load.in_engine, busy.load.ended_since_queue = 4, in_engine, ended
    detector = CapacityDetector()
    assert bool(detector.with_room([busy], NOW)) is room
    assert (detector.saturation([busy], NOW) < 1.0) is room
    idle = an_endpoint(read_at=NOW)
    assert list(detector.with_room([busy, idle], NOW)) == [busy, idle]  # scorers know its price
