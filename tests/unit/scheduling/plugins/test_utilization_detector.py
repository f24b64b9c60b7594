from __future__ import annotations

import pytest

from epp.core.endpoint import Endpoint, EndpointMetrics, Load
from epp.scheduling.plugins.utilization_detector import UtilizationDetector
from tests.helpers.build import a_request, an_endpoint

NOW = 100.0


@pytest.mark.parametrize(
    ("endpoint", "room"),
    [
        pytest.param(an_endpoint(waiting=4, read_at=NOW), True, id="under-the-queue-limit"),
        pytest.param(an_endpoint(waiting=5, read_at=NOW), False, id="at-the-queue-limit"),
        pytest.param(an_endpoint(kv_cache_usage=0.79, read_at=NOW), True, id="under-kv"),
        pytest.param(an_endpoint(kv_cache_usage=0.8, read_at=NOW), False, id="at-kv"),
        pytest.param(an_endpoint(waiting=50, read_at=NOW - 11), True, id="old-is-no-evidence"),
        pytest.param(an_endpoint(read_at=None, requests=99), True, id="never-read"),
        pytest.param(
            Endpoint(
                "idle-when-read",
                "10.0.0.1",
                80,
                metrics=EndpointMetrics(waiting=0, waiting_read_at=NOW - 1.0),
                load=Load(requests=12, waiting=12),
            ),
            True,
            id="placed-on-an-idle-engine-a-while-ago",
        ),
        pytest.param(
            Endpoint(
                "full-when-read",
                "10.0.0.1",
                80,
                metrics=EndpointMetrics(waiting=3, waiting_read_at=NOW - 1.0),
                load=Load(requests=12, waiting=12),
            ),
            False,
            id="placed-on-a-full-engine-a-while-ago",
        ),
    ],
)
def test_room(endpoint: Endpoint, room: bool) -> None:
    assert UtilizationDetector().with_room([endpoint], NOW) == ([endpoint] if room else ())


def test_while_one_has_room_the_others_may_be_chosen_too() -> None:
    full, free = an_endpoint(waiting=9, read_at=NOW), an_endpoint(read_at=NOW)
    full.load.prefilling_tokens_at_reading = 20_000  # what they wait for
    assert UtilizationDetector().with_room([full, free], NOW) == [full, free]
    assert UtilizationDetector().with_room([full], NOW) == ()


def test_but_not_those_that_queue_for_a_place() -> None:
    full, free = an_endpoint(waiting=9, read_at=NOW), an_endpoint(read_at=NOW)
    full.load.places = 4
    assert UtilizationDetector().with_room([full, free], NOW) == [free]


def test_one_swamped_endpoint_does_not_saturate_the_pool() -> None:
    pool = [an_endpoint(waiting=500, read_at=NOW), *(an_endpoint(read_at=NOW) for _ in range(9))]
    assert UtilizationDetector().saturation(pool, NOW) == pytest.approx(0.1)


def test_an_empty_pool_is_saturated() -> None:
    assert UtilizationDetector().saturation([], NOW) == 1.0


def test_as_a_filter_it_drops_the_full_unless_all_are() -> None:
    full, free = an_endpoint(waiting=9, read_at=NOW), an_endpoint(read_at=NOW)
    request = a_request(attempted_at=NOW)
    assert UtilizationDetector().keep(request, [full, free]) == [free]
    assert UtilizationDetector().keep(request, [full]) == [full]
    assert UtilizationDetector(headroom=1.0).keep(request, [full, free]) == [full, free]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"queue_depth_threshold": 0}, "queueDepthThreshold"),
        ({"kv_cache_util_threshold": 0.0}, "kvCacheUtilThreshold"),
        ({"kv_cache_util_threshold": 1.1}, "kvCacheUtilThreshold"),
        ({"headroom": -0.1}, "headroom"),
        ({"headroom": float("nan")}, "headroom"),
        ({"metrics_staleness_threshold": "soon"}, "metricsStalenessThreshold"),
    ],
)
def test_wrong_parameters(fields: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        UtilizationDetector(**fields)  # type: ignore[arg-type]


def test_without_evidence_our_own_requests_are_held_against_its_places() -> None:
    """Ten seconds without a reading do not open a full pool."""
    silent = an_endpoint(waiting=3, read_at=NOW - 11)
    silent.load.places, silent.load.requests = 4, 8
    assert UtilizationDetector().with_room([silent], NOW) == [silent]
    silent.load.requests = 9
    assert UtilizationDetector().with_room([silent], NOW) == ()
    assert UtilizationDetector().saturation([silent], NOW) == 1.0


def test_who_was_never_read_has_the_places_of_the_others() -> None:
    known, unread = an_endpoint(waiting=9, read_at=NOW), an_endpoint(read_at=None)
    known.load.places = 4
    unread.load.requests = 8
    assert UtilizationDetector().with_room([known, unread], NOW) == [unread]
    unread.load.requests = 9
    assert UtilizationDetector().with_room([known, unread], NOW) == ()


def test_who_is_about_to_be_read_for_the_first_time_gets_a_few() -> None:
    fresh = an_endpoint(read_at=None, requests=4)
    fresh.load.awaited = True
    assert UtilizationDetector().with_room([fresh], NOW) == [fresh]
    fresh.load.requests = 5
    assert UtilizationDetector().with_room([fresh], NOW) == ()
    fresh.load.awaited = False  # it cannot be read, and nothing is known of anybody
    assert UtilizationDetector().with_room([fresh], NOW) == [fresh]


def test_places_do_not_count() -> None:
    busy = an_endpoint(running=4, read_at=NOW)
    busy.load.places = busy.load.in_engine = 4
    assert UtilizationDetector().with_room([busy], NOW)
    assert UtilizationDetector().saturation([busy], NOW) == 0.0
