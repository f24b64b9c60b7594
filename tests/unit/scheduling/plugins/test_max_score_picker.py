from __future__ import annotations

import random
from collections import Counter

import pytest

from epp.scheduling.plugins.max_score_picker import MaxScorePicker
from tests.helpers.build import an_endpoint

POOL = [an_endpoint(name) for name in "abc"]


@pytest.mark.parametrize(
    ("scores", "count", "names"),
    [
        pytest.param([0.1, 0.9, 0.5], 1, "b", id="best"),
        pytest.param([0.1, 0.9, 0.5], 2, "bc", id="best-two"),
        pytest.param([0.1, 0.9, 0.5], 9, "bca", id="no-more-than-there-are"),
    ],
)
def test_picks(scores: list[float], count: int, names: str) -> None:
    picked = MaxScorePicker().pick(POOL, scores, count, random.Random(1))
    assert "".join(e.name for e in picked) == names


@pytest.mark.parametrize("count", [1, 3])
def test_equal_scores_share_the_load(count: int) -> None:
    rng = random.Random(1)
    first = Counter(MaxScorePicker().pick(POOL, [1.0] * 3, count, rng)[0].name for _ in range(600))
    assert min(first.values()) > 150


@pytest.mark.parametrize(("given", "count"), [(0, 1), (-3, 1), (4, 4)])
def test_the_number_to_list(given: int, count: int) -> None:
    assert MaxScorePicker(given).count == count
