from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings

from epp.config.build import configuration_of
from epp.explain.dry_run import explain
from epp.explain.replay import CannotReplay, replay
from tests.helpers.worlds import PROMPTS, World, a_world, worlds


def recorded(world: World) -> dict[str, Any]:
    picker = world.picker()
    explained = explain(picker, world.arrival(world.prompt, world.now), world.now, world.seed)
    found: dict[str, Any] = orjson.loads(orjson.dumps(explained.as_dict()))
    return found


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_from_its_json_alone_a_decision_is_taken_again_as_it_was(world: World) -> None:
    record = recorded(world)
    again = replay(record)
    assert again.differences(record) == []
    assert json.dumps(again.decision) == json.dumps(record["decision"])


def test_another_seed_or_load_is_told_as_a_difference() -> None:
    record = recorded(a_world())
    assert replay(record).differences(record) == []
    record["replay"]["endpoints"][0]["metrics"]["waiting"] = 4
    record["replay"]["endpoints"][0]["load"]["waiting"] = 4
    assert any("total" in line for line in replay(record).differences(record))


def test_what_was_learned_is_part_of_the_record() -> None:
    world = a_world()
    world.document["plugins"].append({"type": "marginal-cost-scorer"})
    world.document["schedulingProfiles"][0]["plugins"].append({"pluginRef": "marginal-cost-scorer"})
    world.document["featureGates"] = ["flowControl=false"]
    world.placed_before = [(PROMPTS[n % len(PROMPTS)], n % 3 // 2) for n in range(8)]
    world.prompt = PROMPTS[3]
    record = recorded(world)
    assert record["replay"]["request"]["estimate"]["prefill_token_seconds"] > 0
    assert replay(record).differences(record) == []
    record["replay"]["endpoints"][0]["estimate"]["prefill_ratio"] = 50.0
    assert any("marginal-cost-scorer" in line for line in replay(record).differences(record))


def test_the_kind_of_admission_is_the_one_that_ran() -> None:
    world = a_world()
    picker = world.picker()
    document = {**world.document, "featureGates": ["flowControl=false"]}
    kept = configuration_of(document)  # as a reload leaves it: the gate needs a restart
    picker.configuration = type(kept)(
        kept.profile, kept.detector, picker.configuration.flow_control, None, document=document
    )
    explained = explain(picker, world.arrival(world.prompt, world.now), world.now, world.seed)
    record = orjson.loads(orjson.dumps(explained.as_dict()))
    assert [step["step"] for step in record["steps"]][-1] == "room"
    assert replay(record).differences(record) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"replay": None}, "replay: is missing"),
        ({"version": 99}, "replay.version"),
        ({"seed": None}, "replay: TypeError"),
        ({"endpoints": [3]}, "replay: "),
        ({"configuration": {"kind": "x"}}, "replay.configuration: "),
        ({"configuration": []}, "replay.configuration: document"),
        ({"cached_tokens": {"nobody/x": 1}}, "replay: KeyError"),
    ],
)
def test_what_is_no_record_is_said(change: dict[str, Any], problem: str) -> None:
    record = recorded(a_world())
    record["replay"] = change["replay"] if "replay" in change else {**record["replay"], **change}
    with pytest.raises(CannotReplay) as caught:
        replay(record)
    assert str(caught.value).startswith(problem)
