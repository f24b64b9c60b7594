from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Filter, Preference, Scorer
from epp.scheduling.plugins.max_score_picker import MaxScorePicker
from epp.scheduling.profile import PluginFault, Profile, WeightedScorer
from tests.helpers.build import a_request, an_endpoint

POOL = [an_endpoint(name) for name in "abc"]
RNG = random.Random(1)


@dataclass(frozen=True, slots=True)
class Fixed(Scorer):
    type_name: ClassVar[str] = "fixed"
    scores: tuple[float, ...]

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        return self.scores


@dataclass(frozen=True, slots=True)
class Without(Filter):
    type_name: ClassVar[str] = "without"
    name: str

    def keep(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return [endpoint for endpoint in endpoints if endpoint.name != self.name]


@dataclass(frozen=True, slots=True)
class Drawn(Preference):
    type_name: ClassVar[str] = "drawn"
    reads_prefix: ClassVar[bool] = True

    def prefer(
        self, request: RequestFacts, endpoints: Sequence[Endpoint], rng: random.Random
    ) -> Sequence[Endpoint]:
        return [rng.choice(endpoints)]


def profile(
    *scorers: WeightedScorer,
    filters: tuple[Filter, ...] = (),
    preferences: tuple[Preference, ...] = (),
) -> Profile:
    return Profile("p", filters, scorers, MaxScorePicker(), preferences)


def test_weights_scale_the_scores() -> None:
    chosen = profile(
        WeightedScorer("one", Fixed((1.0, 0.0, 0.5)), 1.0),
        WeightedScorer("two", Fixed((0.0, 0.9, 0.5)), 2.0),
    ).rank(a_request(), POOL, RNG, 1)
    assert chosen.totals == pytest.approx([1.0, 1.8, 1.5])
    assert [e.name for e in chosen.ordered] == ["b"]
    assert list(chosen.scores) == ["one", "two"]


def test_a_score_out_of_range_counts_as_the_nearest_and_nan_as_the_worst() -> None:
    wild = WeightedScorer("wild", Fixed((7.0, -3.0, float("nan"))))
    assert profile(wild).rank(a_request(), POOL, RNG, 1).totals == [1.0, 0.0, 0.0]


def test_a_scorer_that_loses_an_endpoint_is_named() -> None:
    with pytest.raises(PluginFault, match="short: 1 scores for 3 endpoints"):
        profile(WeightedScorer("short", Fixed((1.0,)))).rank(a_request(), POOL, RNG, 1)


def test_filters_narrow_in_turn_and_may_leave_none() -> None:
    chain = profile(filters=(Without("a"), Without("b")))
    assert [e.name for e in chain.narrow(a_request(), POOL)] == ["c"]
    assert profile(filters=(Without("a"),)).narrow(a_request(), POOL[:1]) == []


def test_a_preference_narrows_what_is_ranked_and_draws_with_the_given_lots() -> None:
    chosen = profile(preferences=(Drawn(),))
    drawn = [chosen.rank(a_request(), POOL, random.Random(7), 1).ordered[0] for _ in range(2)]
    expected = random.Random(7).choice(POOL)
    assert drawn == [expected, expected]
    assert chosen.rank(a_request(), POOL, random.Random(7), 1).candidates == [expected]
    assert chosen.narrow(a_request(), POOL) == POOL  # nobody waits for what is only preferred
    assert chosen.reads_prefix


def test_more_are_listed_when_asked_for() -> None:
    ranked = profile(WeightedScorer("s", Fixed((0.1, 0.2, 0.3)))).rank(a_request(), POOL, RNG, 2)
    assert [e.name for e in ranked.ordered] == ["c", "b"]


def test_a_filter_without_a_key_of_its_own_makes_each_request_a_class() -> None:
    chain = profile(filters=(Without("a"),))
    one, two = a_request(), a_request()
    assert chain.fit_key(one) == chain.fit_key(one)
    assert chain.fit_key(one) != chain.fit_key(two)


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_weight_is_finite(weight: float) -> None:
    with pytest.raises(ValueError, match="weight of one"):
        WeightedScorer("one", Fixed(()), weight)
