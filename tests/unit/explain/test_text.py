from __future__ import annotations

from typing import Any

from hypothesis import given, settings

from epp.explain.dry_run import explain
from epp.explain.text import readable
from tests.helpers.disaggregation import a_disagg_picker, an_arrival
from tests.helpers.worlds import World, a_world, worlds


def explained(world: World) -> dict[str, Any]:
    arrival = world.arrival(world.prompt, world.now)
    return explain(world.picker(), arrival, world.now, world.seed).as_dict()


def test_what_a_person_reads() -> None:
    assert readable(explained(a_world())).splitlines() == [
        "request made-up: m, priority 0, flow default-flow, 376 prompt tokens",
        "goes to 10.0.0.1:80",
        "",
        "step  left  removed",
        "pool  2",
        "room  2",
        "",
        "   endpoint     total  queue-scorer x 2  prefix-cache-scorer x 3",
        "*  10.0.0.1:80  2      1 -> 2            0 -> 0",
        "   10.0.0.2:80  0      0 -> 0            0 -> 0",
        "",
        "next is 10.0.0.2:80, 2 behind; all else as it is, it would be level",
        "  with 1 of queue-scorer",
        "  with 0.6667 of prefix-cache-scorer",
        "weight of queue-scorer lower than 0: 10.0.0.2:80 instead",
    ]


def test_who_waits_is_told_who_is_ahead() -> None:
    world = a_world()
    world.document["plugins"].append(
        {"type": "concurrency-detector", "parameters": {"maxConcurrency": 1}}
    )
    world.document["flowControl"] = {"saturationDetector": {"pluginRef": "concurrency-detector"}}
    world.placed_before = [("a", 1), ("b", 1), ("c", 1)]
    text = readable(explained(world))
    assert "waits: no endpoint has room; ahead in line: 1" in text
    assert "room  0     10.0.0.1:80, 10.0.0.2:80" in text


def test_a_stage_of_its_own_is_told() -> None:
    picker = a_disagg_picker()
    text = readable(explain(picker, an_arrival(500), 0.0, 1).as_dict())
    assert "goes to 10.0.100." in text
    assert "prefill by profile prefill: 10.0.112." in text
    assert "encode by profile encode: left out: decider" in text
    assert "decode-filter" in text


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_every_explanation_can_be_read(world: World) -> None:
    text = readable(explained(world))
    assert text.startswith("request made-up: m")
    assert "None" not in text
