from __future__ import annotations

import pytest

from epp.scheduling.plugins.endpoint_attribute_scorer import (
    AdaptiveRange,
    Direction,
    EndpointAttributeScorer,
    FixedRange,
    Linear,
    Normalization,
)
from tests.helpers.build import a_request, an_endpoint


@pytest.mark.parametrize(
    ("direction", "fixed", "numbers", "scores"),
    [
        (Direction.LOWER, None, [1.0, 2.0, 5.0, None], [1.0, 0.75, 0.0, 0.0]),
        (Direction.HIGHER, None, [1.0, 2.0, 5.0, None], [0.0, 0.25, 1.0, 0.0]),
        (Direction.LOWER, None, [3.0, None, 3.0], [1.0, 0.0, 1.0]),
        (Direction.HIGHER, None, [None, None], [0.0, 0.0]),
        (Direction.LOWER, FixedRange(0, 10), [-5.0, 2.5, 99.0, None], [1.0, 0.75, 0.0, 0.0]),
        (Direction.HIGHER, FixedRange(0, 10), [-5.0, 2.5, 99.0, None], [0.0, 0.25, 1.0, 0.0]),
        (Direction.HIGHER, FixedRange(0, 10), [5.0, 5.0], [0.5, 0.5]),
    ],
)
def test_scores(
    direction: Direction,
    fixed: FixedRange | None,
    numbers: list[float | None],
    scores: list[float],
) -> None:
    pool = [an_endpoint(custom={} if n is None else {"heat": n}) for n in numbers]
    scorer = EndpointAttributeScorer("heat", Linear(direction, Normalization(fixed)))
    assert scorer.score(a_request(), pool) == pytest.approx(scores)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (0.0, float("inf"))])
def test_a_range_has_an_extent(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="min: "):
        FixedRange(low, high)


def test_wrong_parameters() -> None:
    with pytest.raises(ValueError, match="cannot both be"):
        Normalization(FixedRange(0, 1), AdaptiveRange())
    with pytest.raises(ValueError, match="attributeKey: is empty"):
        EndpointAttributeScorer("", Linear(Direction.LOWER))
