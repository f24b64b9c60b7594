from __future__ import annotations

import random
from collections import Counter

import pytest

from epp.scheduling.plugins.weighted_random_picker import WeightedRandomPicker
from tests.helpers.build import an_endpoint

POOL = [an_endpoint(name) for name in "abc"]


@pytest.mark.parametrize(
    ("scores", "shares"),
    [
        pytest.param([3.0, 1.0, 0.0], {"a": 0.75, "b": 0.25, "c": 0.0}, id="in-proportion"),
        pytest.param([1e-5, 1e-5, 1e-5], {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, id="small"),
        pytest.param([3e-310, 1e-310, 0.0], {"a": 0.75, "b": 0.25, "c": 0.0}, id="tiny"),
        pytest.param([1.0, 1e-310, -1.0], {"a": 1.0, "b": 0.0, "c": 0.0}, id="far-apart"),
        pytest.param([0.0, 0.0, 0.0], {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, id="all-zero"),
    ],
)
def test_shares(scores: list[float], shares: dict[str, float]) -> None:
    rng = random.Random(2)
    picker = WeightedRandomPicker()
    drawn = Counter(picker.pick(POOL, scores, 1, rng)[0].name for _ in range(4000))
    for name, share in shares.items():
        assert drawn[name] / 4000 == pytest.approx(share, abs=0.03)


def test_a_score_of_zero_comes_last() -> None:
    picked = WeightedRandomPicker().pick(POOL, [0.0, 1.0, 1.0], 3, random.Random(1))
    assert picked[-1].name == "a"


def test_the_same_draws_pick_the_same() -> None:
    def picked(seed: int) -> list[str]:
        rng, picker = random.Random(seed), WeightedRandomPicker()
        return [picker.pick(POOL, [0.2, 0.0, 0.7], 1, rng)[0].name for _ in range(50)]

    assert picked(7) == picked(7) != picked(8)


def test_the_number_to_list() -> None:
    assert [WeightedRandomPicker(n).count for n in (-1, 0, 2)] == [1, 1, 2]
