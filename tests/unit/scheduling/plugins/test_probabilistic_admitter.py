from __future__ import annotations

import random

import pytest

from epp.core.endpoint import Endpoint
from epp.scheduling.plugins.probabilistic_admitter import ProbabilisticAdmitter
from tests.helpers.build import a_request, an_endpoint


def turned_away(
    admitter: ProbabilisticAdmitter, endpoints: list[Endpoint], priority: int = -1
) -> int:
    """Of a thousand."""
    rng, request = random.Random(1), a_request(priority=priority)
    return sum(bool(admitter.refusal(request, endpoints, rng)) for _ in range(1000))


def placed_since(waiting: int) -> Endpoint:
    endpoint = an_endpoint()
    endpoint.load.waiting = waiting
    return endpoint


def test_the_fuller_the_pool_the_more_are_turned_away() -> None:
    # A mean of 0.2 and 0: 300 x 0.1^5 is 0.003. Then 0.25: 0.293. Then 0.4: beyond 1.
    quiet = [an_endpoint(waiting=1), an_endpoint()]
    fuller = [an_endpoint(kv_cache_usage=0.2)]
    full = [an_endpoint(waiting=2, kv_cache_usage=0.1)]
    admitter = ProbabilisticAdmitter()
    assert turned_away(admitter, quiet) < 15
    assert abs(turned_away(admitter, fuller) - 293) < 72  # five standard deviations
    assert turned_away(admitter, full) == 1000


def test_others_are_not_turned_away() -> None:
    swamped = [an_endpoint(waiting=10**9)]
    assert turned_away(ProbabilisticAdmitter(power=1000.0), swamped) == 1000
    assert turned_away(ProbabilisticAdmitter(), swamped, priority=0) == 0
    assert turned_away(ProbabilisticAdmitter(), []) == 0
    assert turned_away(ProbabilisticAdmitter(), [an_endpoint()]) == 0


@pytest.mark.parametrize(
    ("endpoint", "now", "refused"),
    [
        pytest.param(an_endpoint(kv_cache_usage=0.9), 10.0, True, id="memory-read-lately"),
        pytest.param(an_endpoint(kv_cache_usage=0.9), 10.1, False, id="memory-long-ago"),
        pytest.param(an_endpoint(waiting=9), 10.0, True, id="queue-read-lately"),
        pytest.param(an_endpoint(waiting=9), 10.1, False, id="queue-long-ago"),
        pytest.param(an_endpoint(waiting=9, read_at=None), 0.0, False, id="never"),
        # What `load` has in line is ours, placed since a reading that showed no queue.
        pytest.param(placed_since(9), 0.25, True, id="placed-just-now"),
        pytest.param(placed_since(9), 5.0, False, id="placed-a-while-ago"),
    ],
)
def test_only_what_was_read_lately_counts(endpoint: Endpoint, now: float, refused: bool) -> None:
    request = a_request(priority=-1, received_at=now)
    admitter = ProbabilisticAdmitter(k=1.0, power=100.0)  # all or nothing
    assert bool(admitter.refusal(request, [endpoint], random.Random(1))) is refused


def test_it_says_why() -> None:
    request, endpoints = a_request(priority=-1), [an_endpoint(waiting=5)]
    detail = ProbabilisticAdmitter().refusal(request, endpoints, random.Random(1))
    assert detail == "sheddable request dropped, saturation 1.000"


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("queue_depth_threshold", "queueDepthThreshold"),
        ("kv_cache_util_threshold", "kvCacheUtilThreshold"),
        ("power", "power"),
        ("k", "k: 0 is not a finite number above zero"),
    ],
)
def test_all_are_above_zero(field: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ProbabilisticAdmitter(**{field: 0})  # type: ignore[arg-type]
