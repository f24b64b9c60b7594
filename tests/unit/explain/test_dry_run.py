from __future__ import annotations

from dataclasses import replace

import orjson
from hypothesis import given, settings

from epp.compose import Picker
from epp.core.decision import Placed, Waiting
from epp.core.refusal import Refused
from epp.explain.document import taken
from epp.explain.dry_run import explain
from epp.explain.replay import replay
from epp.explain.snapshot import memories_of
from epp.explain.text import readable
from tests.helpers.shadows import Watching, its_twin, with_shadow
from tests.helpers.worlds import World, a_world, worlds


def state_of(picker: Picker) -> object:
    """All that a decision could leave behind."""
    return (
        [(e.load, replace(e.load), dict(e.labels), e.metrics) for e in picker.store.endpoints],
        picker.ledger.leases_held,
        len(picker.director),
        len(picker.index),
        list(picker.queue.requests()),
        [memory.snapshot() for memory in memories_of(picker.configured.scheduler).values()],
        picker.configured.attempt.around.rng.getstate(),
    )


def plainly(state: object) -> str:
    return repr(state)


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_what_is_explained_is_what_then_happens(world: World) -> None:
    picker = world.picker()
    explained = explain(picker, world.arrival(world.prompt, world.now), world.now, world.seed)
    begun = world.arrive(picker, world.prompt, world.now)
    assert type(begun.outcome) is type(explained.outcome)
    if isinstance(begun.outcome, Placed):
        assert isinstance(explained.outcome, Placed)
        assert begun.outcome.decision.ordered == explained.outcome.decision.ordered
        assert begun.outcome.record.totals == explained.outcome.record.totals
        assert begun.outcome.record.scores == explained.outcome.record.scores
        assert begun.outcome.record.stages == explained.outcome.record.stages
    elif isinstance(begun.outcome, Refused):
        assert isinstance(explained.outcome, Refused)
        assert begun.outcome.detail == explained.outcome.detail
        assert begun.outcome.reason is explained.outcome.reason
    else:
        assert isinstance(begun.outcome, Waiting)
        assert explained.ahead == sum(1 for _ in picker.queue.requests()) - 1


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_it_leaves_nothing_behind(world: World) -> None:
    picker = world.picker()
    picker.director.pass_time(world.now)
    before = plainly(state_of(picker))
    explain(picker, world.arrival(world.prompt, world.now), world.now, 7)
    assert plainly(state_of(picker)) == before


def test_no_rewrite_is_counted() -> None:
    world = a_world()
    world.document["routing"] = {
        "modelRewrites": [{"name": "r", "rules": [{"targets": [{"modelRewrite": "m2"}]}]}]
    }
    counted: list[str] = []
    picker = world.picker(on_rewrite=lambda *names: counted.append(names[0]))
    counted.clear()
    explained = explain(picker, world.arrival(world.prompt, world.now), world.now, 7)
    assert explained.facts.target_model == "m2"
    assert counted == []


def test_neither_the_prompt_nor_a_header_that_nobody_reads_is_in_it() -> None:
    world = a_world()
    world.prompt = "open sesame"
    world.headers["test-epp-endpoint-selection"] = "10.0.0.1,10.0.0.2"
    world.document["plugins"].append({"type": "header-based-testing-filter"})
    world.document["schedulingProfiles"][0]["plugins"].append(
        {"pluginRef": "header-based-testing-filter"}
    )
    picker = world.picker()
    text = orjson.dumps(
        explain(picker, world.arrival(world.prompt, world.now), world.now, 7).as_dict()
    )
    found = orjson.loads(text)
    assert b"sesame" not in text
    assert b"secret" not in text
    assert found["replay"]["request"]["headers"] == {
        "test-epp-endpoint-selection": "10.0.0.1,10.0.0.2"
    }


def test_what_cannot_be_read_is_refused_as_a_request_would_be() -> None:
    world = a_world()
    arrival = world.arrival(world.prompt, world.now)
    arrival.body = b"{"
    found = explain(world.picker(), arrival, world.now, 7).as_dict()
    assert found["outcome"]["reason"] == "bad-request"
    assert found["steps"] == []
    assert found["decision"] is found["replay"] is None


BY_HEADER = [{"type": "header-based-testing-filter"}, {"type": "random-picker"}]


def test_what_shadows_would_pick_is_told_and_neither_counted_nor_kept() -> None:
    world = a_world()
    world.headers["test-epp-endpoint-selection"] = "10.0.0.2"
    world.document = its_twin(with_shadow(world.document, BY_HEADER))
    picker = world.picker(shadowing=Watching().shadowing)
    before = plainly(state_of(picker))
    arrival = world.arrival(world.prompt, world.now)
    found = explain(picker, arrival, world.now, 7).as_dict()
    assert plainly(state_of(picker)) == before
    assert [(s["profile"], s["agrees"], s["picked"]) for s in found["shadows"]] == [
        ("shadow", False, ["10.0.0.2:80"]),
        ("twin", True, ["10.0.0.1:80"]),
    ]
    assert found["shadows"][1]["decision"]["candidates"] == found["decision"]["candidates"]
    assert found["replay"]["request"]["headers"] == {}  # the live profile looks at none
    assert [status.counts.compared for status in picker.shadow_statuses] == [0, 0]
    recorded = orjson.loads(orjson.dumps(found))
    assert replay(recorded).differences(recorded) == []
    lines = readable(recorded).splitlines()
    assert "shadow shadow: 10.0.0.2:80 instead" in lines
    assert "shadow twin: the same" in lines
    for seconds, words in ((0.25, "250 ms dearer"), (-0.0004, "0.4 ms cheaper")):
        recorded["shadows"][0]["cost_difference_seconds"] = seconds
        assert f"shadow shadow: 10.0.0.2:80 instead, predicted {words}\n" in readable(recorded)


def test_of_a_decision_that_was_taken_it_is_told_what_shadows_made_of_it() -> None:
    world = a_world()
    selector = {"type": "label-selector-filter", "parameters": {"matchLabels": {"tier": "x"}}}
    world.document = with_shadow(world.document, [selector])
    picker = world.picker(shadowing=Watching().shadowing)
    placed = world.arrive(picker, world.prompt, world.now).placed
    assert placed is not None
    found = taken(placed.record, world.now)
    [shadow] = found["shadows"]
    assert (shadow["profile"], shadow["agrees"], shadow["picked"]) == ("shadow", False, [])
    assert "no endpoints available" in shadow["problem"]
    assert "shadow shadow: no pick: no endpoints available" in readable(found)
