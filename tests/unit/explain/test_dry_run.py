from __future__ import annotations

from dataclasses import replace

import orjson
from hypothesis import given, settings

from epp.compose import Picker
from epp.core.decision import Placed, Waiting
from epp.core.refusal import Refused
from epp.explain.dry_run import explain
from epp.explain.snapshot import memories_of
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
