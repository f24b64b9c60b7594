from __future__ import annotations

import pytest

from epp.scheduling.plugins.load_aware_scorer import LoadAwareScorer
from tests.helpers.build import a_request, an_endpoint


@pytest.mark.parametrize(
    ("threshold", "waiting", "score"),
    [
        (128, 0, 0.5),
        (128, 64, 0.25),
        (128, 128, 0.0),
        (128, 500, 0.0),
        (10, 1, 0.45),
        (0, 64, 0.25),
    ],
)
def test_scores(threshold: int, waiting: int, score: float) -> None:
    endpoint = an_endpoint(waiting=waiting)
    assert LoadAwareScorer(threshold).score(a_request(), [endpoint]) == pytest.approx([score])


def test_a_pool_that_was_never_scraped_is_told_by_our_own_requests() -> None:
    endpoints = [an_endpoint(read_at=None), an_endpoint(read_at=None, requests=64)]
    assert LoadAwareScorer().score(a_request(), endpoints) == [0.5, 0.25]
