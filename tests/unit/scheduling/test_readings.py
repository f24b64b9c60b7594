from __future__ import annotations

import pytest

from epp.core.endpoint import Endpoint, EndpointMetrics
from epp.scheduling.readings import (
    below_limits,
    best_scored,
    cached_shares,
    free_kv_cache,
    requests_in_line,
)
from tests.helpers.build import an_endpoint

A, B, C = (Endpoint(name, "10.0.0.1", port) for port, name in enumerate("abc", 1))


def test_a_pool_that_was_never_scraped_is_told_by_our_own_requests() -> None:
    idle, busy = Endpoint("a", "10.0.0.1", 1), Endpoint("b", "10.0.0.1", 2)
    busy.load.requests, busy.load.waiting = 5, 2
    assert requests_in_line([idle, busy]) == [0, 5]
    idle.metrics = EndpointMetrics(waiting_read_at=1.0)
    assert requests_in_line([idle, busy]) == [0, 2]


def test_free_kv_cache() -> None:
    endpoint = an_endpoint()
    endpoint.metrics = EndpointMetrics(kv_cache_usage=0.75)
    assert free_kv_cache([endpoint, an_endpoint()]) == [0.25, 1.0]


def test_cached_shares() -> None:
    assert cached_shares([A, B], {B: 32}, 64) == [0.0, 0.5]


@pytest.mark.parametrize(
    ("scores", "best"),
    [([1.0, 3.0, 2.0], [B]), ([2.0, 1.0, 2.0], [A, C]), ([-1.0, -1.0, -2.0], [A, B])],
)
def test_the_best_of_scores(scores: list[float], best: list[Endpoint]) -> None:
    assert best_scored([A, B, C], scores) == best


def test_only_who_is_over_a_limit_is_asked_for_room() -> None:
    idle, queued, full = an_endpoint(), an_endpoint(), an_endpoint()
    queued.load.waiting = 1
    full.metrics = EndpointMetrics(kv_cache_usage=0.8)
    asked: list[Endpoint] = []

    def has_room(endpoint: Endpoint) -> bool:
        asked.append(endpoint)
        return endpoint is full

    assert below_limits([idle, queued, full], 0.8, has_room) == [idle, full]
    assert asked == [queued, full]
