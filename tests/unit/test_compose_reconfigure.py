"""Another configuration in a running picker: what changes, and what stays."""

from __future__ import annotations

import random

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.compose import Picker, compose
from epp.config.build import read_configuration
from epp.config.settings import Configuration
from epp.configured import Outside
from epp.core.decision import Outcome, Placed, Waiting
from epp.core.request import RequestFacts
from epp.datalayer.store import EndpointSpec
from epp.director import Arrival, Begun, Cause, Ending
from epp.routing.settings import ModelPriority, ModelRewrite, RoutingSettings, Rule, Target

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
DOCUMENT = """
plugins:
- {{type: queue-scorer}}
- {{type: prefix-cache-scorer}}
- {{type: header-based-testing-filter}}
- {{type: approx-prefix-cache-producer, parameters: {{blockSizeTokens: {block}}}}}
- {{type: concurrency-detector, parameters: {{maxConcurrency: {places}}}}}
flowControl:
  saturationDetector: {{pluginRef: concurrency-detector}}
  defaultRequestTTL: {ttl}s
schedulingProfiles: [{{name: p, plugins: [{profile}]}}]
routing: {routing}
"""
SCORERS = "{pluginRef: queue-scorer}, {pluginRef: prefix-cache-scorer, weight: 3}"
FILTERED = "{pluginRef: header-based-testing-filter}, " + SCORERS
TEXT = "word " * 400
ENDED = Ending(Cause.NATURAL)


def read(
    block: int = 64,
    places: int = 1,
    ttl: int = 60,
    profile: str = SCORERS,
    routing: str = "{}",
) -> Configuration:
    return read_configuration(
        HEAD
        + DOCUMENT.format(block=block, places=places, ttl=ttl, profile=profile, routing=routing)
    )


def a_picker(configuration: Configuration, endpoints: int = 1) -> Picker:
    picker = compose(configuration, Outside(random.Random(1), lambda: "id"))
    picker.store.apply([EndpointSpec(f"e{n}", f"10.0.0.{n + 1}", 80) for n in range(endpoints)])
    return picker


def arrive(picker: Picker, model: str = "m", now: float = 0.0, **headers: str) -> Begun:
    body = orjson.dumps({"model": model, "messages": [{"role": "user", "content": TEXT}]})
    given = {k.replace("_", "-"): v for k, v in headers.items()}
    given = {":path": "/v1/chat/completions", ":method": "POST", **given}
    return picker.director.begin(Arrival(given, body, True, True, now), now)


def test_the_load_and_the_prefixes_are_still_known() -> None:
    picker = a_picker(read(places=5), endpoints=2)
    first = arrive(picker).placed
    assert first is not None
    picker.reconfigure(read(places=5, profile=SCORERS.replace("3", "9")), 1.0)
    assert picker.ledger.leases_held == 1
    second = arrive(picker).placed
    assert second is not None
    assert second.decision.ordered[0] is first.decision.ordered[0]
    assert second.record.cached_tokens > 0


ROUND_ROBIN = (
    HEAD
    + """
plugins: [{type: round-robin-picker}, {type: queue-scorer}]
schedulingProfiles:
- {name: p, plugins: [{pluginRef: queue-scorer, weight: %d}, {pluginRef: round-robin-picker}]}
"""
)


def test_what_a_stateful_plugin_remembers_stays() -> None:
    picker = a_picker(read_configuration(ROUND_ROBIN % 1), endpoints=3)
    picked = []
    for number in range(6):
        if number:
            picker.reconfigure(read_configuration(ROUND_ROBIN % number), float(number))
        placed = arrive(picker).placed
        assert placed is not None
        picked.append(placed.decision.ordered[0].name)
    assert picked[:3] == picked[3:]  # in turn, whatever changes in between
    assert sorted(picked[:3]) == ["e0", "e1", "e2"]


def test_a_larger_capacity_is_the_turn_of_who_waits() -> None:
    picker = a_picker(read(places=1))
    begun = [arrive(picker) for _ in range(4)]
    done = picker.reconfigure(read(places=3), 1.0)
    assert [facts for facts, _ in done.outcomes] == [b.facts for b in begun[1:3]]
    assert all(isinstance(outcome, Placed) for _, outcome in done.outcomes)
    assert picker.ledger.leases_held == len(picker.director) == 3
    for facts in (begun[0].facts, begun[1].facts, begun[2].facts):
        picker.director.finish(facts, ENDED, 2.0)
    assert picker.ledger.leases_held == 1  # the last one had its turn


def test_a_filter_that_is_new_counts_for_who_waits() -> None:
    picker = a_picker(read(places=1), endpoints=2)
    running = [arrive(picker), arrive(picker)]
    waiter = arrive(picker, test_epp_endpoint_selection="10.0.0.2")
    assert isinstance(waiter.outcome, Waiting)
    picker.reconfigure(read(places=1, profile=FILTERED), 1.0)
    picked = {b.placed.decision.ordered[0].address: b.facts for b in running if b.placed}
    assert picker.director.finish(picked["10.0.0.1"], ENDED, 2.0) == []
    [(facts, outcome)] = picker.director.finish(picked["10.0.0.2"], ENDED, 3.0)
    assert facts is waiter.facts
    assert isinstance(outcome, Placed)


def test_another_block_size_starts_the_index_anew_for_who_waits_too() -> None:
    picker = a_picker(read(places=1))
    running, waiter = arrive(picker), arrive(picker)
    assert len(picker.index) > 0
    done = picker.reconfigure(read(places=1, block=128), 1.0)
    assert done.index_anew
    assert len(picker.index) == 0
    [(facts, outcome)] = picker.director.finish(running.facts, ENDED, 2.0)
    assert facts is waiter.facts
    assert isinstance(outcome, Placed)
    assert outcome.record.cached_tokens == 0
    assert len(picker.index) == 0  # its blocks were of the former size
    picker.director.finish(facts, ENDED, 3.0)
    fresh = arrive(picker)
    assert len(fresh.facts.prefix_blocks) == len(picker.index) > 0


def test_prompts_are_hashed_as_soon_as_a_scorer_reads_prefixes() -> None:
    picker = a_picker(read(places=9, profile="{pluginRef: queue-scorer}"))
    assert arrive(picker).facts.prefix_blocks == ()
    picker.reconfigure(read(places=9), 1.0)
    assert len(arrive(picker).facts.prefix_blocks) > 1


def test_routing_of_the_document_changes_and_that_of_the_cluster_stays() -> None:
    picker = a_picker(read(places=9))
    rewrite = ModelRewrite("canary", (Rule((Target("m2"),), ("m",)),))
    picker.route(RoutingSettings((), (rewrite,), (ModelPriority("m", 4),)))
    routing = "{objectives: [{name: gold, priority: 7}], controlHeaders: gateway}"
    picker.reconfigure(read(places=9, routing=routing), 1.0)
    facts = arrive(picker, x_llm_d_inference_objective="gold").facts
    assert (facts.target_model, facts.priority) == ("m2", 4)  # clients have no say any more
    picker.reconfigure(read(places=9, routing=routing.replace("gateway", "client")), 2.0)
    assert arrive(picker, x_llm_d_inference_objective="gold").facts.priority == 7


def test_another_kind_of_admission_is_refused_and_nothing_has_changed() -> None:
    picker = a_picker(read(places=1))
    before = picker.configuration
    with pytest.raises(ValueError, match="kind of admission"):
        picker.reconfigure(read_configuration(HEAD + "featureGates: [flowControl=false]"), 1.0)
    assert picker.configuration is before


def test_without_flow_control_the_profile_changes_too() -> None:
    off = HEAD + "featureGates: [flowControl=false]\n"
    picker = a_picker(read_configuration(off + "plugins: [{type: queue-scorer}]"))
    picker.reconfigure(read_configuration(off + "plugins: [{type: prefix-cache-scorer}]"), 1.0)
    placed = arrive(picker).placed
    assert placed is not None
    assert list(placed.record.scores) == ["prefix-cache-scorer"]


STAGED = (
    HEAD
    + """
plugins:
- {type: decode-filter}
- {type: prefill-filter}
- {type: no-hit-lru-scorer}
- {type: always-disagg-pd-decider}
- type: disagg-profile-handler
  parameters: {profiles: {prefill: %s}, deciders: {prefill: always-disagg-pd-decider}}
schedulingProfiles:
- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: no-hit-lru-scorer}]}
- {name: %s, plugins: [{pluginRef: prefill-filter}, {pluginRef: no-hit-lru-scorer}]}
"""
)
SINGLE = HEAD + "plugins: [{type: queue-scorer}]"


@pytest.mark.parametrize(
    "after", [STAGED % ("fill", "fill"), SINGLE], ids=["renamed", "one-profile"]
)
def test_what_was_placed_by_profiles_that_are_gone_ends_as_any_other(after: str) -> None:
    picker = compose(
        read_configuration(STAGED % ("first", "first")), Outside(random.Random(1), lambda: "id")
    )
    picker.store.apply(
        [
            EndpointSpec(role, f"10.0.0.{n}", 80, labels={"llm-d.ai/role": role})
            for n, role in enumerate(("prefill", "decode"), 1)
        ]
    )
    begun = arrive(picker)
    assert begun.placed is not None
    assert [stage.profile for stage in begun.placed.record.stages if stage.picked] == ["first"]
    picker.reconfigure(read_configuration(after), 1.0)
    picker.director.responding(begun.facts, "", 200, 1.5)
    picker.director.finish(begun.facts, ENDED, 2.0)
    assert picker.ledger.leases_held == 0
    assert arrive(picker, now=3.0).placed is not None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "finish", "respond", "tick", "pool", "reconfigure"]),
        st.integers(0, 30),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_changes_no_request_is_lost_and_the_ledger_ends_at_zero(
    steps: list[tuple[str, int]],
) -> None:
    picker = a_picker(read(places=1), endpoints=2)
    live: list[Begun] = []
    waiting: set[RequestFacts] = set()

    def settle(outcomes: list[tuple[RequestFacts, Outcome]]) -> None:
        for facts, _ in outcomes:
            waiting.remove(facts)  # each once

    for at, (kind, number) in enumerate(steps):
        now = float(at)
        if kind == "begin":
            begun = arrive(picker, now=now, test_epp_endpoint_selection=f"10.0.0.{number % 3 + 1}")
            live.append(begun)
            if isinstance(begun.outcome, Waiting):
                waiting.add(begun.facts)
        elif kind == "pool":
            specs = [EndpointSpec(f"e{n}", f"10.0.0.{n + 1}", 80) for n in range(number % 4)]
            picker.store.apply(specs)
            settle(picker.director.something_changed(now))
        elif kind == "tick":
            settle(picker.director.something_changed(now + number))
        elif kind == "reconfigure":
            wanted = read(
                block=64 << number % 2,
                places=number % 3 + 1,
                ttl=number,
                profile=FILTERED if number % 5 else SCORERS,
            )
            settle(picker.reconfigure(wanted, now).outcomes)
        elif live and kind == "respond":
            facts = live[number % len(live)].facts
            picker.director.responding(facts, f"10.0.0.{number % 4}:80", 200 + number * 30, now)
        elif live:
            facts = live.pop(number % len(live)).facts
            waiting.discard(facts)
            settle(picker.director.finish(facts, ENDED, now))
        assert set(picker.queue.requests()) == waiting
        assert picker.ledger.leases_held == len(picker.director)
    for begun in live:
        picker.director.finish(begun.facts, ENDED, 1e6)
    assert picker.ledger.leases_held == len(picker.director) == 0
    assert all(endpoint.load.requests == 0 for endpoint in picker.store.endpoints)
