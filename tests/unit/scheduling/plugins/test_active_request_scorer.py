from __future__ import annotations

import pytest

from epp.scheduling.plugins.active_request_scorer import ActiveRequestScorer
from tests.helpers.build import a_request, an_endpoint


@pytest.mark.parametrize(
    ("scorer", "requests", "scores"),
    [
        pytest.param(ActiveRequestScorer(), [0, 5, 10], [1.0, 0.5, 0.0], id="defaults"),
        pytest.param(ActiveRequestScorer(), [0, 0], [1.0, 1.0], id="all-idle"),
        pytest.param(ActiveRequestScorer(2), [2, 3, 6], [1.0, 0.5, 0.0], id="idle-threshold"),
        pytest.param(
            ActiveRequestScorer(max_busy_score=0.5), [0, 5, 10], [1.0, 0.25, 0.0], id="busy-score"
        ),
    ],
)
def test_scores(scorer: ActiveRequestScorer, requests: list[int], scores: list[float]) -> None:
    endpoints = [an_endpoint(requests=n) for n in requests]
    assert scorer.score(a_request(), endpoints) == scores


@pytest.mark.parametrize(
    ("fields", "text"),
    [({"max_busy_score": 1.5}, "maxBusyScore"), ({"idle_threshold": -1}, "idle")],
)
def test_wrong_parameters(fields: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ActiveRequestScorer(**fields)  # type: ignore[arg-type]
