from __future__ import annotations

import random
from collections import Counter

from epp.scheduling.plugins.marginal_cost_scorer import MarginalCostScorer
from epp.scheduling.plugins.max_score_picker import MaxScorePicker
from tests.helpers.build import a_request, an_endpoint


def test_the_cheapest_scores_one_and_the_dearest_nothing() -> None:
    endpoints = [an_endpoint(requests=n) for n in (0, 1, 4)]
    assert MarginalCostScorer().score(a_request(prompt_tokens=80), endpoints) == [1.0, 0.75, 0.0]


def test_equal_costs_share_the_load() -> None:
    endpoints = [an_endpoint(requests=n) for n in (2, 2, 3)]
    rng = random.Random(1)
    picks: Counter[str] = Counter()
    for _ in range(400):
        scores = MarginalCostScorer().score(a_request(prompt_tokens=80), endpoints)
        picks[MaxScorePicker().pick(endpoints, scores, 1, rng)[0].name] += 1
    assert set(picks) == {endpoints[0].name, endpoints[1].name}
    assert min(picks.values()) > 150


def test_a_warm_cache_is_left_when_holding_up_the_others_costs_more() -> None:
    warm, cold = an_endpoint(requests=30), an_endpoint()
    scorer = MarginalCostScorer()
    for cached, best in ((990, 0), (900, 1)):
        request = a_request(prompt_tokens=1000, cached_tokens={warm: cached})
        scores = scorer.score(request, [warm, cold])
        assert scores[best] == 1.0
        assert scores[1 - best] == 0.0
