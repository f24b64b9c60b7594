from __future__ import annotations

import random

import orjson
import pytest

from epp.core.decision import DecisionRecord
from epp.explain.document import taken
from epp.explain.replay import replay
from epp.explain.sampling import DecisionSampler
from tests.helpers.worlds import World, a_world


def records(world: World, share: float, count: int = 40) -> list[DecisionRecord]:
    sampler = DecisionSampler(share, random.Random(1))
    picker = sampler.picker = world.picker(sample=sampler)
    found = []
    for _ in range(count):
        begun = world.arrive(picker, world.prompt, world.now)
        assert begun.placed is not None
        assert type(begun.facts.headers) is dict
        found.append(begun.placed.record)
    return found


def a_busy_world() -> World:
    world = a_world()
    world.document["plugins"].append({"type": "active-request-scorer"})
    plugins = world.document["schedulingProfiles"][0]["plugins"]
    plugins.append({"pluginRef": "active-request-scorer"})
    world.document["featureGates"] = ["flowControl=false"]
    return world


def test_real_decisions_are_taken_again_as_they_were_whatever_came_after() -> None:
    found = records(a_busy_world(), 1.0)
    assert len({record.picked[0].name for record in found}) == 2
    for record in found:
        shown = orjson.loads(orjson.dumps(taken(record, 1001.0)))
        assert shown["request"]["age_seconds"] == 1.0
        assert replay(shown).differences(shown) == []


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 5, 35), (1.0, 40, 40)])
def test_the_share_is_kept(share: float, least: int, most: int) -> None:
    recorded = [r for r in records(a_busy_world(), share) if r.snapshot is not None]
    assert least <= len(recorded) <= most


def test_a_decision_that_is_not_recorded_is_explained_all_the_same() -> None:
    [record] = records(a_busy_world(), 0.0, count=1)
    shown = taken(record, 1000.0)
    assert shown["replay"] is None
    assert shown["decision"]["picked"] == [record.picked[0].authority]
    assert [step["step"] for step in shown["steps"]] == ["pool"]
