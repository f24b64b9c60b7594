from __future__ import annotations

import pytest

from epp.scheduling.plugins.lora_affinity_scorer import LoraAffinityScorer
from tests.helpers.build import a_request, an_endpoint


@pytest.mark.parametrize(
    ("running", "waiting", "most", "score"),
    [
        pytest.param({"ad0"}, set(), 2, 1.0, id="in-use"),
        pytest.param({"ad1"}, set(), 2, 0.8, id="room-for-one-more"),
        pytest.param({"ad1"}, {"ad0"}, 2, 0.6, id="waits-for-a-place"),
        pytest.param({"ad1"}, {"ad2"}, 2, 0.0, id="full-of-others"),
        pytest.param(set(), set(), 0, 0.0, id="no-adapters-there"),
    ],
)
def test_score(running: set[str], waiting: set[str], most: int, score: float) -> None:
    endpoint = an_endpoint(
        running_adapters=frozenset(running),
        waiting_adapters=frozenset(waiting),
        max_adapters=most,
    )
    assert LoraAffinityScorer().score(a_request(target_model="ad0"), [endpoint]) == [score]
