from __future__ import annotations

import pytest

from epp.scheduling.plugins.lmetric_scorer import LmetricScorer
from tests.helpers.build import a_request, an_endpoint


def test_new_tokens_are_multiplied_by_requests_in_flight_with_this_one() -> None:
    endpoints = [
        an_endpoint(requests=0, prefilling_tokens=900),  # (900 + 100) x 1 = 1000
        an_endpoint(requests=4, prefilling_tokens=0),  # 100 x 5 = 500
        an_endpoint(requests=29, prefilling_tokens=50),  # (50 + 0) x 30 = 1500
    ]
    request = a_request(prompt_tokens=100, cached_tokens={endpoints[2]: 128})
    assert LmetricScorer().score(request, endpoints) == pytest.approx([0.5, 1.0, 0.0])


def test_of_idle_endpoints_the_one_with_the_longer_match_wins() -> None:
    short, long, none = an_endpoint(), an_endpoint(), an_endpoint()
    request = a_request(prompt_tokens=256, cached_tokens={short: 64, long: 192})
    scores = LmetricScorer().score(request, [short, long, none])
    assert scores == pytest.approx([1 / 3, 1.0, 0.0])
