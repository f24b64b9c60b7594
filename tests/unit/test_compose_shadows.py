"""Shadow profiles in a composed picker: what they find, and that nobody can tell that they look."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from epp.compose import Picker, compose
from epp.config.build import configuration_of
from epp.config.settings import Configuration, Shadow
from epp.configured import Outside
from epp.core.decision import Placed
from epp.core.endpoint import Endpoint, EndpointMetrics
from epp.core.request import RequestFacts
from epp.core.shadows import ShadowStatus
from epp.datalayer.store import EndpointSpec
from epp.director import Arrival, Begun, Cause, Ending
from epp.explain.snapshot import memories_of
from epp.payloads.usage import Usage
from epp.scheduling.interfaces import Scorer
from epp.scheduling.plugins.max_score_picker import MaxScorePicker
from epp.scheduling.profile import Profile, WeightedScorer
from tests.helpers.shadows import Stopwatch, Watching, its_twin, with_shadow
from tests.helpers.worlds import FILTERS, HEAD, PICKERS, PROMPTS, SCORERS, World, a_world, worlds

PLUGINS = [*FILTERS, *({"type": name} for name in (*SCORERS, *PICKERS))]
# Of a picker: what it is made of, not what it knows.
WITHOUT_STATE = ("configuration", "configured", "_rooms", "router", "models")


def dumped(value: Any, known: dict[int, int]) -> Any:
    """Everything in it, objects by their fields and in the order in which they are met."""
    if value is None or isinstance(value, str | int | float | bool | bytes):
        return repr(value)
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, set | frozenset):
        return len(value) if any(not isinstance(v, str) for v in value) else sorted(value)
    if id(value) in known:
        return f"#{known[id(value)]}"
    known[id(value)] = len(known)
    if isinstance(value, dict):
        return [(dumped(k, known), dumped(v, known)) for k, v in value.items()]
    if isinstance(value, Sequence) or hasattr(value, "popleft"):
        return [dumped(item, known) for item in value]
    if callable(value):
        return ""
    names = [n for cls in type(value).__mro__ for n in getattr(cls, "__slots__", ())]
    names += list(getattr(value, "__dict__", ()))
    return [
        type(value).__name__,
        [(n, dumped(getattr(value, n, None), known)) for n in names if not n.startswith("__")],
    ]


def state_of(picker: Picker) -> Any:
    """All that it knows, but for prefixes that only a shadow looks at."""
    found = {
        "endpoints": picker.store.endpoints,
        "ledger": picker.ledger,
        "estimation": picker.estimation,
        "queue": [(f.request_id, f.deadline, f.waiting_since) for f in picker.queue.requests()],
        "flights": list(picker.director._flights.values()),
        "memories": memories_of(picker.configured.scheduler),
        "draws": picker.configured.attempt.around.rng,
    }
    if picker.configuration.profile.reads_prefix:
        found["index"] = picker.index
    else:
        for flight in picker.director._flights.values():
            flight.credited, flight.credited_beside = (), ()
    return dumped(found, {})


@st.composite
def shadowed(draw: st.DrawFn) -> tuple[World, dict[str, Any]]:
    """A world, and its document with shadows of every kind beside it."""
    world = draw(worlds())
    assume(len(world.document["schedulingProfiles"]) == 1)
    document = world.document
    for number in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            document = its_twin(document, f"twin-{number}")
            continue
        plugins = draw(st.lists(st.sampled_from(PLUGINS), min_size=1, max_size=4))
        pickers = [plugin for plugin in plugins if plugin["type"] in PICKERS]
        plugins = [plugin for plugin in plugins if plugin not in pickers] + pickers[:1]
        weights = [draw(st.sampled_from([0.0, 1.0, 3.0])) for _ in plugins]
        share = draw(st.sampled_from([0.001, 1.0]))
        name = f"shadow-{number}"
        document = with_shadow(document, plugins, weights, name=name, max_loop_share=share)
    return world, document


def lived(picker: Picker, world: World, script: Sequence[tuple[str, int]]) -> list[Any]:
    """What becomes of a few requests, and the state after each step."""
    seen: list[Any] = []
    running: list[Begun] = []
    now = world.now
    for step, number in script:
        now += 0.01 * number
        outcomes: list[Any] = []
        if step == "arrive":
            prompt = PROMPTS[number % len(PROMPTS)]
            begun = world.arrive(picker, prompt, now)
            running.append(begun)
            outcomes = [(begun.facts, begun.outcome)]
        elif step == "scrape" and picker.store.endpoints:
            endpoint = picker.store.endpoints[number % len(picker.store.endpoints)]
            read = EndpointMetrics(number % 3, now, number % 5, now)
            picker.read(endpoint, read, endpoint.load.requests)
            outcomes = picker.director.something_changed(now)
        elif step == "answer" and running:
            facts = running[number % len(running)].facts
            picker.director.responding(facts, "", 200 if number % 4 else 500, now)
            picker.director.first_token(facts, now)
        elif step == "finish" and running:
            facts = running.pop(number % len(running)).facts
            ending = Ending(Cause.NATURAL, 200, usage=Usage(facts.prompt_tokens, 5 * number, 3))
            outcomes = picker.director.finish(facts, ending, now)
        for _, outcome in outcomes:
            if isinstance(outcome, Placed):
                record = outcome.record.as_dict()
                record.pop("shadows")
                steps = [(name, list(map(repr, left))) for name, left in outcome.record.steps]
                decision = outcome.decision
                shown = (decision.destination, decision.request_headers, decision.response_headers)
                seen.append((record, steps, repr(shown), len(decision.leases)))
            else:
                seen.append(repr(outcome))
        seen.append(state_of(picker))
    return seen


STEPS = st.sampled_from(["arrive", "arrive", "arrive", "scrape", "answer", "finish"])
SCRIPTS = st.lists(st.tuples(STEPS, st.integers(0, 11)), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(shadowed(), SCRIPTS)
def test_nobody_can_tell_that_they_look(
    found: tuple[World, dict[str, Any]], script: list[tuple[str, int]]
) -> None:
    world, document = found
    alone = lived(world.picker(), world, script)
    watching = Watching(Stopwatch(step=1e-5))
    picker = replace(world, document=document).picker(shadowing=watching.shadowing)
    assert lived(picker, world, script) == alone
    assert watching.failures == []
    placed = [entry for entry in alone if isinstance(entry, tuple)]
    for status in picker.shadow_statuses:
        counts = status.counts
        # `placed_before` of the world went through the same picker.
        assert counts.compared + counts.skipped >= len(placed)


@settings(max_examples=60, deadline=None)
@given(worlds(), SCRIPTS)
def test_equal_profiles_always_agree(world: World, script: list[tuple[str, int]]) -> None:
    assume(len(world.document["schedulingProfiles"]) == 1)
    document = its_twin(its_twin(world.document, "one"), "two")
    picker = replace(world, document=document).picker(shadowing=Watching().shadowing)
    lived(picker, world, script)
    for status in picker.shadow_statuses:
        counts = status.counts
        assert counts.agreed == counts.compared
        assert counts.skipped == counts.failed == counts.saved_seconds == counts.lost_seconds == 0


@dataclass(frozen=True, slots=True)
class Boom(Scorer):
    type_name: ClassVar[str] = "boom"

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        request.cached_tokens = dict.fromkeys(endpoints, 7)
        raise LookupError("boom")


@dataclass(frozen=True, slots=True)
class Slow(Scorer):
    """Takes a second of the stopwatch."""

    type_name: ClassVar[str] = "slow"
    stopwatch: Stopwatch

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        self.stopwatch.now += 1.0
        return [0.0] * len(endpoints)


def with_scorer(configuration: Configuration, scorer: Scorer, share: float = 1.0) -> Configuration:
    weighted = (WeightedScorer(scorer.type_name, scorer),)
    profile = Profile("shadow", (), weighted, MaxScorePicker())
    return replace(configuration, shadows=(Shadow(profile, share),))


def a_picker(configuration: Configuration, watching: Watching, endpoints: int = 3) -> Picker:
    outside = Outside(random.Random(1), lambda: "id", shadowing=watching.shadowing)
    picker = compose(configuration, outside)
    picker.store.apply([EndpointSpec(f"e{n}", f"10.0.0.{n + 1}", 80) for n in range(endpoints)])
    for endpoint in picker.store.endpoints:
        picker.ledger.missed(endpoint)
    return picker


def arrive(picker: Picker, now: float = 0.0, prompt: str = PROMPTS[1], **headers: str) -> Placed:
    arrival = a_world().arrival(prompt, now)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    arrival.headers = {**arrival.headers, **given}
    placed = picker.director.begin(arrival, now).placed
    assert placed is not None
    return placed


def only_status(picker: Picker) -> ShadowStatus:
    [status] = picker.shadow_statuses
    return status


def test_a_plugin_that_raises_harms_nobody() -> None:
    watching = Watching()
    picker = a_picker(with_scorer(configuration_of(a_world().document), Boom()), watching)
    for _ in range(3):
        record = arrive(picker).record
    assert record.shadows[0].problem == "failed: LookupError"
    assert [profile for profile, _ in watching.failures] == ["shadow"] * 3
    assert only_status(picker).counts.failed == 3
    assert only_status(picker).counts.compared == 0
    assert picker.ledger.leases_held == 3


def test_a_slow_one_is_skipped_until_its_time_is_paid_off() -> None:
    stopwatch = Stopwatch()
    watching = Watching(stopwatch)
    slow = with_scorer(configuration_of(a_world().document), Slow(stopwatch), 0.01)
    picker = a_picker(slow, watching)
    arrive(picker)
    began = stopwatch.now
    for _ in range(98):
        stopwatch.now += 1.0
        arrive(picker)
    status = only_status(picker)
    assert (status.counts.compared, status.counts.skipped) == (1, 98)
    assert status.counts.overhead_seconds == stopwatch.now - began - 98 + 1.0
    for _ in range(20):  # then it is its turn again
        stopwatch.now += 1.0
        arrive(picker)
    assert only_status(picker).counts.compared == 2
    assert only_status(picker).loop_share < 0.02


def document_with(live: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        **HEAD,
        "plugins": live,
        "schedulingProfiles": [
            {"name": "live", "plugins": [{"pluginRef": plugin["type"]} for plugin in live]}
        ],
        **more,
    }


RANDOM = document_with([{"type": "random-picker"}])
BEST = {"type": "max-score-picker"}  # a profile that names no picker takes any of the document
STICKY = {"type": "session-affinity-filter", "parameters": {"strategy": "session_id"}}


def test_a_shadow_that_would_not_place_is_told_apart() -> None:
    selector = {"type": "label-selector-filter", "parameters": {"matchLabels": {"tier": "a"}}}
    picker = a_picker(configuration_of(with_shadow(RANDOM, [selector])), Watching())
    record = arrive(picker).record
    assert "no endpoints available" in record.shadows[0].problem
    assert only_status(picker).counts.not_placed == only_status(picker).counts.compared == 1


def test_requests_without_a_body_are_not_compared() -> None:
    picker = a_picker(configuration_of(its_twin(RANDOM)), Watching())
    picker.director.begin(Arrival({":path": "/x", ":method": "GET"}, b"", True, False, 0.0), 0.0)
    counts = only_status(picker).counts
    assert counts.compared == counts.skipped == 0


def test_prefixes_that_only_a_shadow_looks_at_are_known_when_it_is_promoted() -> None:
    document = with_shadow(RANDOM, [{"type": "prefix-cache-scorer"}, BEST])
    watching = Watching(Stopwatch(step=1e-6))
    picker = a_picker(configuration_of(document), watching, endpoints=8)
    first = arrive(picker)
    assert (first.record.cached_tokens, first.record.prefix_tokens) == (0, 0)
    [look] = arrive(picker, prompt=PROMPTS[1]).record.shadows
    assert look.picked == first.decision.ordered[:1]
    assert only_status(picker).counts.overhead_seconds > 0.0
    picker.reconfigure(configuration_of({**document, "liveProfile": "shadow"}), 1.0)
    third = arrive(picker).record
    assert third.cached_tokens > 0
    assert only_status(picker).profile == "live"


def test_the_time_for_prefixes_is_counted_and_limited() -> None:
    stopwatch = Stopwatch()
    document = with_shadow(RANDOM, [{"type": "prefix-cache-scorer"}, BEST], max_loop_share=0.01)
    picker = a_picker(configuration_of(document), Watching(stopwatch))
    stopwatch.step = 0.5  # whatever is timed takes that long
    arrive(picker)
    stopwatch.step = 0.0
    known = len(picker.index)
    for n in range(5):
        arrive(picker, prompt=f"{n} " * 999)
    assert len(picker.index) == known  # there is no time to hash, and nothing to credit
    stopwatch.now += 1000.0
    arrive(picker, prompt="later " * 999)
    assert len(picker.index) > known


@pytest.mark.parametrize("shadows", [1, 2])
def test_sessions_are_where_they_really_are_and_stay_there_when_the_shadow_is_promoted(
    shadows: int,
) -> None:
    document = RANDOM
    for n in range(shadows):
        document = with_shadow(document, [STICKY], name=f"sticky-{n}")
    picker = a_picker(configuration_of(document), Watching(), endpoints=8)
    homes = {}
    for n in range(20):
        session = f"s{n}"
        homes[session] = arrive(picker, x_session_id=session).decision.ordered[0]
        for look in arrive(picker, x_session_id=session).record.shadows:
            assert look.picked[0] is homes[session]
    picker.reconfigure(configuration_of({**document, "liveProfile": "sticky-0"}), 1.0)
    for session, home in homes.items():
        assert arrive(picker, 1.0, x_session_id=session).decision.ordered[0] is home


def test_what_the_live_profile_remembers_is_read_and_never_written() -> None:
    turns = document_with([{"type": "round-robin-picker"}])
    twin = its_twin(turns)
    picker = a_picker(configuration_of(twin), Watching(), endpoints=4)
    picked = [arrive(picker).decision.ordered[0].name for _ in range(9)]
    assert picked == [*["e0", "e1", "e2", "e3"] * 2, "e0"]
    assert only_status(picker).agreement == 1.0
    picker.reconfigure(configuration_of(turns), 1.0)
    picker.reconfigure(configuration_of(twin), 2.0)  # that came while turns were under way
    arrive(picker)
    assert only_status(picker).agreement == 1.0


def test_the_cost_of_another_pick_is_predicted_as_soon_as_speeds_are_known() -> None:
    world = a_world()
    world.document = with_shadow(world.document, [{"type": "random-picker"}])
    picker = world.picker(shadowing=Watching().shadowing)
    arrive(picker, world.now)
    assert only_status(picker).counts.predicted == 0
    for n in range(8):
        world._live_through(picker, PROMPTS[1] + str(n), world.now + n, running=n % 2 == 0)
    known = only_status(picker).counts
    assert known.predicted == 0
    looks = [arrive(picker, world.now + 20.0).record.shadows[0] for _ in range(20)]
    assert {look.cost_difference_seconds is None for look in looks} == {False}
    counts = only_status(picker).counts
    assert counts.predicted == 20
    assert counts.lost_seconds > 0.0
    agreed = [look for look in looks if look.cost_difference_seconds == 0.0]
    assert 0 < len(agreed) < 20


def test_counts_go_on_over_a_reload_and_a_promotion_swaps_the_two() -> None:
    document = with_shadow(RANDOM, [{"type": "active-request-scorer"}, BEST])
    picker = a_picker(configuration_of(document), Watching())
    for _ in range(4):
        arrive(picker)
    picker.reconfigure(configuration_of({**document, "routing": {"sessionHeaders": ["x"]}}), 1.0)
    assert only_status(picker).counts.compared == 4
    picker.reconfigure(configuration_of({**document, "liveProfile": "shadow"}), 2.0)
    record = arrive(picker).record
    assert (record.profile, record.shadows[0].profile) == ("shadow", "live")
    assert only_status(picker).counts.compared == 1
    assert {name: c.compared for name, c in picker.shadow_counts.items()} == {
        "shadow": 4,
        "live": 1,
    }
    picker.reconfigure(configuration_of(RANDOM), 3.0)
    assert picker.shadow_statuses == []
    assert picker.configured.attempt.around.shadows is None


def test_without_a_clock_nobody_looks_on() -> None:
    picker = compose(configuration_of(its_twin(RANDOM)), Outside(random.Random(1), lambda: "id"))
    picker.store.apply([EndpointSpec("e0", "10.0.0.1", 80)])
    assert arrive(picker).record.shadows == ()
    assert picker.shadow_statuses == ()
