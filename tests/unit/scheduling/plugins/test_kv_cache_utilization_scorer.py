from __future__ import annotations

import pytest

from epp.scheduling.plugins.kv_cache_utilization_scorer import KvCacheUtilizationScorer
from tests.helpers.build import a_request, an_endpoint


@pytest.mark.parametrize(("usage", "score"), [(0.0, 1.0), (0.25, 0.75), (1.0, 0.0)])
def test_score(usage: float, score: float) -> None:
    endpoints = [an_endpoint(kv_cache_usage=usage)]
    assert KvCacheUtilizationScorer().score(a_request(), endpoints) == [score]
