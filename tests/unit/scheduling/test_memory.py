from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import orjson

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Filter, Picker, Scorer, StatefulFilter, StatefulScorer
from epp.scheduling.memory import Memory, memory_of, remembering, with_new_memory
from epp.scheduling.plugins.max_score_picker import MaxScorePicker
from epp.scheduling.plugins.queue_scorer import QueueScorer
from epp.scheduling.plugins.round_robin_picker import RoundRobinPicker
from epp.scheduling.profile import Profile, WeightedScorer
from tests.helpers.build import a_request, an_endpoint

POOL = [an_endpoint(name) for name in "abc"]
RNG = random.Random(1)


@dataclass(slots=True)
class Seen:
    picked: list[str] = field(default_factory=list)
    served: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Fresh(StatefulFilter):
    """Keeps those that were never picked."""

    type_name: ClassVar[str] = "fresh"

    def new_state(self) -> Seen:
        return Seen()

    def keep(
        self, state: Seen, request: RequestFacts, endpoints: Sequence[Endpoint]
    ) -> Sequence[Endpoint]:
        return [e for e in endpoints if e.authority not in state.picked]

    def fit_key(self, request: RequestFacts) -> str:
        return request.model

    def decided(
        self,
        state: Seen,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        picked: Endpoint,
        now: float,
    ) -> None:
        state.picked.append(picked.authority)

    def finished(
        self,
        state: Seen,
        request: RequestFacts,
        picked: Endpoint,
        served: Endpoint,
        now: float,
    ) -> None:
        state.served.append(served.authority)


@dataclass(frozen=True, slots=True)
class Liked(StatefulScorer):
    """Prefers those that served."""

    type_name: ClassVar[str] = "liked"
    reads_prefix: ClassVar[bool] = True

    def new_state(self) -> Seen:
        return Seen()

    def score(
        self, state: Seen, request: RequestFacts, endpoints: Sequence[Endpoint]
    ) -> Sequence[float]:
        return [float(e.authority in state.served) for e in endpoints]

    def finished(
        self,
        state: Seen,
        request: RequestFacts,
        picked: Endpoint,
        served: Endpoint,
        now: float,
    ) -> None:
        state.served.append(served.authority)


def a_profile() -> Profile:
    filter_, scorer = remembering("f", Fresh()), remembering("s", Liked())
    picker = remembering("p", RoundRobinPicker())
    assert isinstance(filter_, Filter)
    assert isinstance(scorer, Scorer)
    assert isinstance(picker, Picker)
    return Profile("p", (filter_,), (WeightedScorer("s", scorer),), picker)


def decide(profile: Profile) -> str:
    request = a_request()
    ranked = profile.rank(request, profile.narrow(request, POOL), RNG, 1)
    picked = ranked.ordered[0]
    profile.decided(request, ranked.candidates, picked, 0.0)
    return picked.name


def test_all_that_remember_hear_of_a_decision_and_of_its_end() -> None:
    profile = a_profile()
    assert [memory.name for memory in profile.memories] == ["f", "s", "p"]
    assert [decide(profile), decide(profile)] == ["a", "b"]
    profile.finished(a_request(), POOL[0], POOL[2], 0.0)
    scores = profile.rank(a_request(), POOL, RNG, 1).scores["s"]
    assert scores == [0.0, 0.0, 1.0]


def test_ranking_changes_nothing() -> None:
    profile = a_profile()
    before = [memory.snapshot() for memory in profile.memories]
    for _ in range(3):
        profile.rank(a_request(), profile.narrow(a_request(), POOL), RNG, 1)
    assert [memory.snapshot() for memory in profile.memories] == before


def test_a_composed_picker_begins_with_nothing_remembered() -> None:
    used = a_profile()
    decide(used)
    new = used.with_new_memory()
    assert new == used  # the configuration is the same
    assert [decide(new), decide(used), decide(new)] == ["a", "b", "b"]


def test_a_snapshot_is_plain_and_goes_back() -> None:
    profile = a_profile()
    decide(profile)
    snapshots = orjson.loads(orjson.dumps([memory.snapshot() for memory in profile.memories]))
    restored = a_profile()
    for memory, snapshot in zip(restored.memories, snapshots, strict=True):
        memory.restore(snapshot)
    assert decide(restored) == "b"
    assert decide(profile) == "b"  # the snapshot is a copy


def test_parameters_of_what_remembers_count() -> None:
    profile = a_profile()
    assert profile.reads_prefix
    assert profile.fit_key(a_request(model="m")) == ("m",)
    assert Profile("p", (), (), profile.picker).picker.count == 1


def test_it_shows_as_what_is_configured() -> None:
    assert str(a_profile().picker) == "RoundRobinPicker()"


def test_plain_plugins_stay_as_they_are() -> None:
    picker = MaxScorePicker()
    assert remembering("p", picker) is picker
    assert with_new_memory(picker) is picker
    assert memory_of(picker) is None
    plain = Profile("p", (), (WeightedScorer("q", QueueScorer()),), picker)
    assert plain.memories == ()
    assert not plain.reads_prefix


def test_memories_are_equal_where_the_configuration_is() -> None:
    assert Memory("p", RoundRobinPicker()) == Memory("p", RoundRobinPicker())
    assert Memory("p", RoundRobinPicker()) != Memory("q", RoundRobinPicker())
