from __future__ import annotations

import pytest

from epp.scheduling.plugins.queue_scorer import QueueScorer
from tests.helpers.build import a_request, an_endpoint


@pytest.mark.parametrize(
    ("waiting", "scores"),
    [
        pytest.param([0, 5, 10], [1.0, 0.5, 0.0], id="spread"),
        pytest.param([7, 7], [1.0, 1.0], id="all-equal"),
        pytest.param([3], [1.0], id="single"),
    ],
)
def test_scores(waiting: list[int], scores: list[float]) -> None:
    endpoints = [an_endpoint(waiting=n) for n in waiting]
    assert QueueScorer().score(a_request(), endpoints) == scores


def test_a_pool_that_was_never_read_is_told_apart_by_our_own_requests() -> None:
    endpoints = [an_endpoint(requests=n, read_at=None) for n in (4, 0)]
    assert QueueScorer().score(a_request(), endpoints) == [0.0, 1.0]
