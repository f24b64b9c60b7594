from __future__ import annotations

import pytest

from epp.scheduling.plugins.running_requests_size_scorer import RunningRequestsSizeScorer
from tests.helpers.build import a_request, an_endpoint


@pytest.mark.parametrize(
    ("loads", "scores"),
    [
        pytest.param([(0, 0.0, 0), (8, 0.0, 0)], [1.0, 0.0], id="ours"),
        pytest.param([(2, 6.0, 0), (8, 0.0, 0)], [1.0, 1.0], id="foreign-count-too"),
        pytest.param([(8, 0.0, 4), (4, 0.0, 0)], [1.0, 1.0], id="waiting-do-not-run"),
        pytest.param([(0, 0.0, 0), (2, 0.0, 0), (4, 0.0, 0)], [1.0, 0.5, 0.0], id="spread"),
    ],
)
def test_scores(loads: list[tuple[int, float, int]], scores: list[float]) -> None:
    endpoints = [an_endpoint(requests=r, foreign=f, waiting=w) for r, f, w in loads]
    assert RunningRequestsSizeScorer().score(a_request(), endpoints) == scores
