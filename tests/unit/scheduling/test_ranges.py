from __future__ import annotations

import pytest

from epp.scheduling.ranges import lower_is_better


@pytest.mark.parametrize(
    ("loads", "scores"), [([3], [1.0]), ([2, 2], [1.0, 1.0]), ([0, 1, 4], [1.0, 0.75, 0.0])]
)
def test_scores(loads: list[float], scores: list[float]) -> None:
    assert lower_is_better(loads) == scores
