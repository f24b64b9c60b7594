from __future__ import annotations

import pytest

from epp.scheduling.plugins.prefix_cache_scorer import PrefixCacheScorer
from tests.helpers.build import a_request, an_endpoint


@pytest.mark.parametrize(
    ("scorer", "matches", "scores"),
    [
        pytest.param(PrefixCacheScorer(), [0, 5, 10], [0.0, 0.5, 1.0], id="share-of-the-prompt"),
        pytest.param(
            PrefixCacheScorer(match_length_weight=1.0, match_length_scale_tokens=640),
            [0, 5, 10],
            [0.0, 0.25, 1.0],
            id="squared-length",
        ),
        pytest.param(
            PrefixCacheScorer(match_length_weight=0.5, match_length_scale_tokens=320),
            [5, 10],
            [0.75, 1.0],
            id="both",
        ),
    ],
)
def test_scores(scorer: PrefixCacheScorer, matches: list[int], scores: list[float]) -> None:
    endpoints = [an_endpoint() for _ in matches]
    cached = {e: 64 * n for e, n in zip(endpoints, matches, strict=True) if n}
    request = a_request(prefix_tokens=640, cached_tokens=cached)
    assert scorer.score(request, endpoints) == pytest.approx(scores)


def test_without_a_prompt_nothing_is_preferred() -> None:
    assert PrefixCacheScorer().score(a_request(), [an_endpoint()]) == [0.0]


@pytest.mark.parametrize(
    ("fields", "text"),
    [({"match_length_weight": 2.0}, "Weight"), ({"match_length_scale_tokens": 0}, "Scale")],
)
def test_wrong_parameters(fields: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        PrefixCacheScorer(**fields)  # type: ignore[arg-type]
