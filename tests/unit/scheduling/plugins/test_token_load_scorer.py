from __future__ import annotations

import pytest

from epp.scheduling.plugins.token_load_scorer import DEFAULT_THRESHOLD, TokenLoadScorer
from tests.helpers.build import a_request, an_endpoint


def test_tokens_in_flight_and_what_is_not_cached_of_this_prompt_count() -> None:
    idle, busy, warm = an_endpoint(), an_endpoint(prefilling_tokens=200), an_endpoint()
    request = a_request(prompt_tokens=400, cached_tokens={warm: 384})
    scores = TokenLoadScorer(queue_threshold_tokens=800).score(request, [idle, busy, warm])
    assert scores == pytest.approx([1 - 400 / 800, 1 - 600 / 800, 1 - 16 / 800])


def test_a_cached_block_may_reach_beyond_the_prompt() -> None:
    endpoint = an_endpoint(prefilling_tokens=10)
    request = a_request(prompt_tokens=50, cached_tokens={endpoint: 64})
    assert TokenLoadScorer(100).score(request, [endpoint]) == pytest.approx([0.9])


@pytest.mark.parametrize(("in_flight", "score"), [(0, 1.0), (99, 0.01), (100, 0.0), (10**9, 0.0)])
def test_nothing_is_worse_than_the_threshold(in_flight: int, score: float) -> None:
    endpoint = an_endpoint(prefilling_tokens=in_flight)
    assert TokenLoadScorer(100).score(a_request(), [endpoint]) == pytest.approx([score])


@pytest.mark.parametrize("threshold", [0, -5])
def test_a_threshold_not_above_zero_is_the_default(threshold: int) -> None:
    endpoint = an_endpoint(prefilling_tokens=DEFAULT_THRESHOLD // 4)
    assert TokenLoadScorer(threshold).score(a_request(), [endpoint]) == [0.75]
