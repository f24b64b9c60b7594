from __future__ import annotations

import random
from collections import Counter

from epp.scheduling.plugins.random_picker import RandomPicker
from tests.helpers.build import an_endpoint

POOL = [an_endpoint(name) for name in "abc"]


def test_scores_do_not_matter() -> None:
    rng = random.Random(1)
    drawn = Counter(RandomPicker().pick(POOL, [9.0, 0.0, 0.0], 1, rng)[0].name for _ in range(900))
    assert min(drawn.values()) > 220


def test_none_is_listed_twice() -> None:
    picked = RandomPicker().pick(POOL, [0.0] * 3, 9, random.Random(1))
    assert sorted(e.name for e in picked) == ["a", "b", "c"]


def test_the_number_to_list() -> None:
    assert [RandomPicker(n).count for n in (-1, 0, 2)] == [1, 1, 2]
