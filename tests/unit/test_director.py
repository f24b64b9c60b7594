from __future__ import annotations

import math
import random
from dataclasses import replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epp.compose import Picker, compose
from epp.config.build import read_configuration
from epp.configured import Outside
from epp.core.decision import Answer, Placed, Waiting
from epp.core.endpoint import Endpoint, EndpointMetrics
from epp.core.refusal import Reason, Refused
from epp.datalayer.store import EndpointSpec
from epp.director import Arrival, Begun, Cause, Ending
from epp.estimation.residency import Tier
from epp.payloads.usage import Usage

ENDING = Ending(Cause.NATURAL)
HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
PLUGINS = """
plugins:
- {type: queue-scorer}
- {type: prefix-cache-scorer}
- {type: concurrency-detector, parameters: {maxConcurrency: 2}}
flowControl: {saturationDetector: {pluginRef: concurrency-detector}}
routing:
  objectives: [{name: gold, priority: 5}]
  modelRewrites:
  - name: alias
    rules:
    - matches: [{model: {value: public}}]
      targets: [{modelRewrite: internal}]
"""
SHEDDABLE = """
featureGates: [flowControl=false]
routing: {objectives: [{name: batch, priority: -1}]}
"""


def a_picker(extra: str = PLUGINS, endpoints: int = 2) -> Picker:
    outside = Outside(
        random.Random(1),
        new_request_id=lambda: "made-up",
    )
    picker = compose(read_configuration(HEAD + extra), outside)
    picker.store.apply([EndpointSpec(f"e{n}", f"10.0.0.{n + 1}", 80) for n in range(endpoints)])
    return picker


def chat(model: str = "m", text: str = "hi") -> bytes:
    return orjson.dumps({"model": model, "messages": [{"role": "user", "content": text}]})


def arrival(
    body: bytes | None = None,
    path: str = "/v1/chat/completions",
    subset: frozenset[str] | None = None,
    shows_answer: bool = True,
    **headers: str,
) -> Arrival:
    given = {k.replace("_", "-"): v for k, v in headers.items()}
    return Arrival(
        {":path": path, ":method": "POST", **given},
        body or b"",
        complete=True,
        has_body=body is not None,
        received_at=0.0,
        subset=subset,
        shows_answer=shows_answer,
    )


LEARNED_UNTIL = 100.0


def streamed(text: str, *, stream: bool = True) -> bytes:
    messages = [{"role": "user", "content": text}]
    return orjson.dumps({"model": "m", "stream": stream, "messages": messages})


def learn(picker: Picker, shows_answer: bool) -> None:
    """Enough requests, one after the other, for every law to be known."""
    for n in range(25):
        now = n * LEARNED_UNTIL / 25
        came = arrival(streamed("x" * 400 * (1 + n % 7)), shows_answer=shows_answer)
        begun = picker.director.begin(came, now)
        now += 0.001 * begun.facts.prompt_tokens
        if shows_answer:
            picker.director.first_token(begun.facts, now)
        ending = Ending(Cause.NATURAL, 200, usage=Usage(100, 20))
        picker.director.finish(begun.facts, ending, now + 0.2)


def held(endpoint: Endpoint) -> int:
    """Tokens that somebody still has to compute, wherever they are counted."""
    load, estimate = endpoint.load, endpoint.estimate
    return load.prefilling_tokens + load.uncached_tokens + estimate.awaited_tokens


def placed(begun: Begun) -> Endpoint:
    assert begun.placed is not None
    return begun.placed.decision.ordered[0]


def test_a_request_is_read_identified_and_placed() -> None:
    picker = a_picker()
    begun = picker.director.begin(
        arrival(chat(), x_llm_d_inference_objective="gold", x_llm_d_inference_fairness_id="t"), 1.0
    )
    facts = begun.facts
    assert (facts.model, facts.priority, facts.flow) == ("m", 5, "t")
    assert (facts.request_id, begun.generated_request_id) == ("made-up", "made-up")
    assert placed(begun).load.requests == 1
    picker.director.finish(facts, ENDING, 2.0)
    assert placed(begun).load.requests == 0


def test_the_deprecated_spelling_counts_unless_the_new_one_is_there() -> None:
    director = a_picker().director
    old = arrival(chat(), x_gateway_inference_objective="gold")
    hidden = arrival(chat(), x_gateway_inference_objective="gold", x_llm_d_inference_objective="")
    assert director.begin(old, 0.0).facts.priority == 5
    assert director.begin(hidden, 0.0).facts.priority == 0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x_llm_d_slo_ttft_ms": "250"}, 0.25),
        ({"x_slo_ttft_ms": "250"}, 0.25),
        ({"x_llm_d_slo_ttft_ms": "0"}, 0.0),
        ({}, math.inf),
        *(({"x_llm_d_slo_ttft_ms": wrong}, math.inf) for wrong in ("", "-1", "1.5", "\u0663")),
        ({"x_llm_d_slo_ttft_ms": "9" * 5000}, math.inf),
    ],
)
def test_the_wanted_time_to_the_first_token(headers: dict[str, str], seconds: float) -> None:
    begun = a_picker().director.begin(arrival(chat(), **headers), 0.0)
    assert begun.facts.ttft_slo_seconds == seconds


@pytest.mark.parametrize(
    ("headers", "flow"),
    [
        ({"session_id": "s"}, "s"),  # session-id here
        ({"x_session_affinity": "a", "x_claude_code_session_id": "c"}, "c"),
        ({"x_session_affinity": "a", "x_llm_d_inference_fairness_id": "tenant"}, "tenant"),
        ({"x_team": "t", "x_session_affinity": "a"}, "t"),
        ({}, "default-flow"),
    ],
)
def test_an_agent_is_a_flow_where_no_tenant_is_named(headers: dict[str, str], flow: str) -> None:
    identity = "{type: agent-identity, parameters: {additionalSessionHeaders: [X-Team]}}"
    director = a_picker(f"plugins: [{identity}]").director
    assert director.begin(arrival(chat(), **headers), 0.0).facts.flow == flow
    assert a_picker().director.begin(arrival(chat(), x_team="t"), 0.0).facts.flow == "default-flow"


def test_a_rewritten_model_changes_the_body() -> None:
    begun = a_picker().director.begin(arrival(chat("public")), 0.0)
    assert (begun.facts.model, begun.facts.target_model) == ("public", "internal")
    assert orjson.loads(begun.body)["model"] == "internal"


def test_an_unchanged_body_is_the_very_object_that_came() -> None:
    body = chat()
    assert a_picker().director.begin(arrival(body), 0.0).body is body


def test_a_structured_request_needs_a_model() -> None:
    begun = a_picker().director.begin(arrival(b'{"messages": [{"content": "x"}]}'), 0.0)
    assert begun.refused is not None
    assert begun.refused.reason is Reason.BAD_REQUEST
    assert begun.refused.detail == "model not found in request body"


def test_a_request_without_body_is_placed_though_all_are_full() -> None:
    picker = a_picker(endpoints=1)
    for _ in range(2):
        picker.director.begin(arrival(chat()), 0.0)
    begun = picker.director.begin(arrival(), 0.0)
    assert placed(begun).load.requests == 2  # and it costs nothing


def test_an_answer_of_our_own() -> None:
    picker = a_picker()
    models = arrival(path="/v1/models")
    assert isinstance(picker.director.begin(models, 0.0).outcome, Placed)  # nothing known yet
    picker.models.put(picker.store.endpoints[0], ({"id": "m"},))
    models = Arrival({**models.headers, ":method": "GET"}, b"", True, False, 0.0)
    answer = picker.director.begin(models, 0.0).outcome
    assert isinstance(answer, Answer)
    assert orjson.loads(answer.body)["data"] == [{"id": "m"}]


@pytest.mark.parametrize(
    ("subset", "reason"),
    [
        (frozenset({"10.9.9.9"}), Reason.NO_ENDPOINTS),
        (frozenset(), Reason.NO_ENDPOINTS),
        (frozenset({"10.0.0.2"}), None),
        (frozenset({"10.0.0.2:80"}), None),
    ],
)
def test_the_subset_hint_binds(subset: frozenset[str], reason: Reason | None) -> None:
    begun = a_picker().director.begin(arrival(chat(), subset=subset), 0.0)
    if reason is None:
        assert placed(begun).name == "e1"
    else:
        assert begun.refused is not None
        assert begun.refused.reason is reason


def test_the_end_of_one_is_the_turn_of_the_next() -> None:
    picker = a_picker(endpoints=1)
    first, _, third = (picker.director.begin(arrival(chat()), 0.0) for _ in range(3))
    assert isinstance(third.outcome, Waiting)
    [(facts, outcome)] = picker.director.finish(first.facts, ENDING, 1.0)
    assert facts is third.facts
    assert isinstance(outcome, Placed)
    assert outcome.record.waited_seconds == 1.0


def test_only_a_server_that_answered_well_is_credited_with_the_prefix() -> None:
    text = "word " * 200
    for status, credited in ((200, True), (503, False)):
        picker = a_picker()
        begun = picker.director.begin(arrival(chat(text=text)), 0.0)
        picker.director.responding(begun.facts, "", status, 0.5)
        known = picker.index.match(begun.facts.prefix_blocks, picker.store.endpoints)
        assert bool(known) is credited


def test_the_load_and_the_credit_move_to_who_served() -> None:
    picker = a_picker()
    begun = picker.director.begin(arrival(chat(text="word " * 200)), 0.0)
    picked = placed(begun)
    [other] = [e for e in picker.store.endpoints if e is not picked]
    # A place has become free where it was picked.
    assert picker.director.responding(begun.facts, other.authority, 200, 0.5)
    assert not picker.director.responding(begun.facts, other.authority, 200, 0.5)
    assert (picked.load.requests, other.load.requests) == (0, 1)
    assert list(picker.index.match(begun.facts.prefix_blocks, [picked, other])) == [other]
    picker.director.finish(begun.facts, ENDING, 1.0)
    assert other.load.requests == 0


def test_a_server_that_fails_at_once_does_not_draw_the_traffic() -> None:
    picker = a_picker(endpoints=3)
    broken = picker.store.endpoints[0]
    picks = []
    for n in range(60):
        now = n / 10  # so that none is in flight when the next comes
        begun = picker.director.begin(arrival(chat(text=f"{n}")), now)
        picks.append(placed(begun))
        status = 500 if picks[-1] is broken else 200
        picker.director.responding(begun.facts, "", status, now)
        picker.director.finish(begun.facts, Ending(Cause.NATURAL, status), now)
    assert picks.count(broken) <= 8  # five before it is believed, then one after 1, 2 and 4 s
    assert picker.store.candidates == picker.store.endpoints[1:]


def test_a_server_that_we_do_not_know_takes_the_credit_of_nobody() -> None:
    picker = a_picker()
    begun = picker.director.begin(arrival(chat(text="word " * 200)), 0.0)
    picker.director.responding(begun.facts, "10.9.9.9:1", 200, 0.5)
    assert not picker.index.match(begun.facts.prefix_blocks, picker.store.endpoints)
    picker.director.finish(begun.facts, ENDING, 1.0)
    assert picker.ledger.leases_held == 0


def test_a_vanished_endpoint_still_gets_its_leases_back() -> None:
    picker = a_picker()
    begun = picker.director.begin(arrival(chat()), 0.0)
    picker.store.apply([])
    picker.director.responding(begun.facts, "", 200, 0.5)
    picker.director.finish(begun.facts, ENDING, 1.0)
    assert picker.ledger.leases_held == 0


def test_finishing_twice_or_without_a_place_does_nothing() -> None:
    picker = a_picker(endpoints=0)
    begun = picker.director.begin(arrival(chat()), 0.0)
    assert isinstance(begun.outcome, Refused)
    assert picker.director.finish(begun.facts, ENDING, 1.0) == []
    picker.director.responding(begun.facts, "", 200, 0.5)
    assert len(picker.director) == 0


def flying(picker: Picker) -> dict[Endpoint, int]:
    """Tokens to be computed by the endpoints of the pool, as the flights tell."""
    tokens = dict.fromkeys(picker.store.endpoints, 0)
    for _, flight in picker.director.flights():
        for lease in (*flight.leases, *flight.early_leases):
            if lease.endpoint in tokens and lease.prefilling:
                tokens[lease.endpoint] += lease.uncached_tokens
    return tokens


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "token", "finish", "report", "respond", "tick", "pool"]),
        st.integers(0, 30),
    ),
    max_size=60,
)
SMALL_INDEX = """
plugins:
- {type: prefix-cache-scorer}
- type: approx-prefix-cache-producer
  parameters: {lruCapacityPerServer: 20, autoTune: false}
"""
COSTS = "plugins: [{type: marginal-cost-scorer}]"


@pytest.mark.parametrize("shows_answer", [True, False], ids=["full", "light"])
@pytest.mark.parametrize("extra", [PLUGINS, COSTS], ids=["scores", "costs"])
@settings(deadline=None, max_examples=50)
@given(STEPS)
def test_whatever_happens_the_ledger_ends_at_zero(
    extra: str, shows_answer: bool, steps: list[tuple[str, int]]
) -> None:
    picker = a_picker(extra)
    learn(picker, shows_answer)
    live: list[Begun] = []
    for at, (kind, number) in enumerate(steps):
        now = LEARNED_UNTIL + at / 10
        if kind == "begin":
            body = streamed("x" * 300 * number, stream=number % 3 > 0)
            came = arrival(body, shows_answer=shows_answer, x_request_id=f"r{number}")
            live.append(picker.director.begin(came, now))
        elif kind == "report":
            picker.director.reported(f"r{number}", Usage(10 * number, number), now)
        elif kind == "pool":
            count = number % 4
            specs = [EndpointSpec(f"e{n}", f"10.0.0.{n + 1}", 80) for n in range(count)]
            picker.store.apply(specs)
            picker.director.something_changed(now)
        elif kind == "tick":
            picker.director.something_changed(now + number)
        elif live and kind == "respond":
            facts = live[number % len(live)].facts
            picker.director.responding(facts, f"10.0.0.{number % 4}:80", 200 + number * 30, now)
        elif live and kind == "token":
            picker.director.first_token(live[number % len(live)].facts, now)
        elif live:
            ending = Ending(Cause.NATURAL if number % 2 else Cause.CLIENT_DISCONNECT)
            picker.director.finish(live.pop(number % len(live)).facts, ending, now)
        assert picker.ledger.leases_held == len(picker.director)
        assert all(held(endpoint) >= 0 for endpoint in picker.store.endpoints)
        assert flying(picker) == {
            endpoint: endpoint.load.prefilling_tokens for endpoint in picker.store.endpoints
        }
    for begun in live:
        picker.director.finish(begun.facts, ENDING, 1e6)
    assert picker.ledger.leases_held == 0
    assert len(picker.director) == 0
    for endpoint in picker.store.endpoints:
        assert (endpoint.load.requests, held(endpoint)) == (0, 0)
        assert endpoint.estimate.clear_at == -math.inf


MODEL_OBJECTIVES = """
routing:
  objectives: [{name: gold, priority: 5}, {name: plain, priority: 1}]
  objectivesByModel: [{objective: gold, models: [audit]}, {objective: plain}]
  controlHeaders: %s
"""


@pytest.mark.parametrize(
    ("trust", "model", "claim", "priority"),
    [
        pytest.param("gateway", "audit", "", 5, id="by-its-model"),
        pytest.param("gateway", "chat", "", 1, id="by-the-entry-for-all"),
        pytest.param("gateway", "chat", "gold", 1, id="a-claim-gains-nothing"),
        pytest.param("gateway", "audit", "plain", 5, id="nor-does-it-lose"),
        pytest.param("client", "chat", "gold", 5, id="a-client-that-counts"),
        pytest.param("client", "chat", "", 1, id="a-client-that-says-nothing"),
    ],
)
def test_the_model_says_what_nobody_who_counts_has_said(
    trust: str, model: str, claim: str, priority: int
) -> None:
    director = a_picker(MODEL_OBJECTIVES % trust).director
    headers = {"x_llm_d_inference_objective": claim} if claim else {}
    assert director.begin(arrival(chat(model), **headers), 1.0).facts.priority == priority


def test_without_a_body_the_entry_for_every_model_counts() -> None:
    director = a_picker(MODEL_OBJECTIVES % "gateway").director
    assert director.begin(arrival(), 1.0).facts.priority == 1


@pytest.mark.parametrize(
    ("prefer", "waits_for_cache"),
    [
        ("if-available", True),
        ("respond-async, If-Available; x=1", True),
        ("if-available-maybe", False),
        ("", False),
    ],
)
def test_who_prefers_cached_prompts_is_refused_the_others(
    prefer: str, waits_for_cache: bool
) -> None:
    picker = a_picker()
    text = "word " * 200
    begun = picker.director.begin(arrival(chat(text=text), prefer=prefer), 0.0)
    if not waits_for_cache:
        assert placed(begun).load.requests == 1
        return
    assert begun.refused is not None
    assert begun.refused.reason is Reason.NOT_CACHED
    assert picker.ledger.leases_held == 0
    first = picker.director.begin(arrival(chat(text=text)), 0.0)
    picker.director.responding(first.facts, "", 200, 0.5)
    again = picker.director.begin(arrival(chat(text=text), prefer=prefer), 0.0)
    assert placed(again) is placed(first)


def test_the_first_token_ends_the_prefill_and_only_that() -> None:
    picker = a_picker(endpoints=1)
    begun = picker.director.begin(arrival(chat()), 0.0)
    [endpoint] = picker.store.endpoints
    tokens = endpoint.load.prefilling_tokens
    assert tokens == endpoint.load.uncached_tokens > 0
    picker.director.first_token(begun.facts, 0.5)
    assert (endpoint.load.prefilling_tokens, endpoint.load.requests) == (0, 1)
    picker.director.finish(begun.facts, ENDING, 1.0)
    picker.director.first_token(begun.facts, 0.5)
    assert (endpoint.load.prefilling_tokens, endpoint.load.uncached_tokens) == (0, 0)


@pytest.mark.parametrize(
    ("served", "status", "told"),
    [
        ("", 200, [0]),
        ("10.0.0.2:80", 200, [1]),
        ("", 503, []),
        (None, 200, []),
    ],
    ids=["the-pick", "another", "a-failure", "no-response"],
)
def test_who_answered_with_success_is_told_at_the_end(
    served: str | None, status: int, told: list[int]
) -> None:
    heard: list[tuple[Endpoint, Endpoint]] = []
    picker = a_picker()
    director = replace(
        picker.director, succeeded=lambda _facts, picked, by, _now: heard.append((picked, by))
    )
    begun = director.begin(arrival(chat(), subset=frozenset({"10.0.0.1"})), 0.0)
    if served is not None:
        director.responding(begun.facts, served, status, 0.5)
    assert heard == []
    for _ in range(2):  # the second does nothing
        director.finish(begun.facts, ENDING, 1.0)
    endpoints = picker.store.endpoints
    assert heard == [(endpoints[0], endpoints[n]) for n in told]


def test_two_pickers_of_one_configuration_remember_on_their_own() -> None:
    configuration = read_configuration(HEAD + "plugins: [{type: round-robin-picker}]")
    pickers = [compose(configuration, Outside(random.Random(1), lambda: "id")) for _ in range(2)]
    for picker in pickers:
        picker.store.apply([EndpointSpec(f"e{n}", f"10.0.0.{n + 1}", 80) for n in range(3)])
    turns = [
        placed(pickers[index].director.begin(arrival(chat()), 0.0)).name
        for index in (0, 0, 1, 0, 1, 0)
    ]
    assert turns == ["e0", "e1", "e0", "e2", "e1", "e0"]


def test_who_is_turned_away_at_the_door_is_told_why_and_holds_nothing() -> None:
    picker = a_picker("plugins: [{type: probabilistic-admitter}]\n" + SHEDDABLE)
    for endpoint in picker.store.endpoints:
        picker.ledger.read(
            endpoint, EndpointMetrics(waiting=5, waiting_read_at=0.0, running_read_at=0.0), 0
        )
    begun = picker.director.begin(arrival(chat(), x_llm_d_inference_objective="batch"), 0.0)
    assert begun.refused is not None
    assert begun.refused.reason is Reason.SATURATED
    assert begun.refused.detail == "sheddable request dropped, saturation 1.000"
    assert len(picker.director) == 0
    assert placed(picker.director.begin(arrival(x_llm_d_inference_objective="batch"), 0.0))
    assert placed(picker.director.begin(arrival(chat()), 0.0))


FAIR = """
plugins:
- {type: concurrency-detector, parameters: {maxConcurrency: 1}}
flowControl:
  saturationDetector: {pluginRef: concurrency-detector}
  defaultPriorityBand: {fairnessPolicyRef: round-robin-fairness-policy}
"""


def test_tenants_take_turns_for_the_place_that_becomes_free() -> None:
    director = a_picker(FAIR, endpoints=1).director
    running = director.begin(arrival(chat()), 0.0).facts
    for tenant in ("greedy", "greedy", "greedy", "modest"):
        begun = director.begin(arrival(chat(), x_llm_d_inference_fairness_id=tenant), 0.0)
        assert isinstance(begun.outcome, Waiting)
    order = []
    while outcomes := director.finish(running, ENDING, 1.0):
        [(running, outcome)] = outcomes
        assert isinstance(outcome, Placed)
        order.append(running.flow)
    assert order == ["greedy", "modest", "greedy", "greedy"]


def test_without_a_first_token_the_clock_ends_the_prefill() -> None:
    picker = a_picker(COSTS, endpoints=1)
    learn(picker, shows_answer=False)
    [endpoint] = picker.store.endpoints
    begun = picker.director.begin(arrival(streamed("y" * 4000), shows_answer=False), LEARNED_UNTIL)
    tokens = endpoint.load.prefilling_tokens
    assert tokens == begun.facts.prompt_tokens > 0
    picker.director.something_changed(LEARNED_UNTIL + 0.0001 * tokens)
    assert endpoint.load.prefilling_tokens == tokens
    picker.director.something_changed(LEARNED_UNTIL + 0.01 * tokens)
    assert (endpoint.load.prefilling_tokens, endpoint.load.uncached_tokens) == (0, tokens)


def test_what_was_learned_goes_with_the_request_to_who_reads_costs() -> None:
    for extra, reads in ((COSTS, True), (PLUGINS, False)):
        picker = a_picker(extra)
        learn(picker, shows_answer=True)
        facts = picker.director.begin(arrival(chat()), LEARNED_UNTIL).facts
        assert (facts.estimate is not None) is reads


def test_an_adapter_is_told_by_the_list_of_models() -> None:
    picker = a_picker(COSTS)
    learn(picker, shows_answer=True)
    first, other = picker.store.endpoints
    picker.models.put(first, ({"id": "m"}, {"id": "ad", "parent": "m"}))
    for tier, seconds in ((Tier.HOST, 0.1), (Tier.AWAY, 0.5)):
        picker.estimation.residency.loaded(tier, seconds)
    facts = picker.director.begin(arrival(chat("ad")), LEARNED_UNTIL).facts
    assert (facts.adapter, facts.adapter_loads) == ("ad", {first: 0.1, other: 0.5})
    assert picker.director.begin(arrival(chat("m")), LEARNED_UNTIL).facts.adapter == ""


def test_token_estimates_follow_what_the_servers_report() -> None:
    picker, text = a_picker(), "word " * 2000
    estimates = []
    for n in range(100):
        facts = picker.director.begin(arrival(chat(text=text)), float(n)).facts
        estimates.append((facts.prompt_tokens, facts.prefix_tokens))
        usage = Usage(facts.size_bytes // 5, 20)
        picker.director.finish(facts, Ending(Cause.NATURAL, 200, usage=usage), n + 0.5)
    assert estimates[-1][0] / estimates[0][0] == pytest.approx(0.8, rel=0.02)
    assert estimates[-1][1] / estimates[0][1] == pytest.approx(0.8, rel=0.02)
    facts = picker.director.begin(arrival(chat(text=text)), 1e3).facts
    assert max(facts.cached_tokens.values()) == pytest.approx(facts.prompt_tokens, rel=0.05)


@pytest.mark.parametrize("shows_answer", [True, False], ids=["full", "light"])
def test_answers_age_the_cache_of_who_gave_them(shows_answer: bool) -> None:
    picker = a_picker(SMALL_INDEX, endpoints=1)
    text = "word " * 200
    usage, ending = Usage(250, 1200), Ending(Cause.NATURAL, 200)
    begun = picker.director.begin(arrival(chat(text=text), shows_answer=shows_answer), 0.0)
    blocks, endpoints = begun.facts.prefix_blocks, picker.store.endpoints
    assert picker.index.match(blocks, endpoints)
    if shows_answer:
        ending.usage = usage
    picker.director.finish(begun.facts, ending, 1.0)
    if not shows_answer:
        assert picker.index.match(blocks, endpoints)
        picker.director.reported("made-up", usage, 1.1)
    assert sum(picker.index.match(blocks, endpoints).values()) < 64 * len(blocks)


def test_a_restarted_server_has_nothing_cached() -> None:
    picker = a_picker(endpoints=1)
    [endpoint] = picker.store.endpoints
    facts = picker.director.begin(arrival(chat(text="word " * 200)), 0.0).facts
    for started_at, cached in ((0.0, True), (100.0, True), (100.0, True), (200.0, False)):
        picker.read(endpoint, EndpointMetrics(started_at=started_at), 1)
        assert bool(picker.index.match(facts.prefix_blocks, [endpoint])) is cached


AGNOSTIC = """
plugins:
- {type: active-request-scorer}
- {type: passthrough-parser, name: as-it-is}
requestHandler: {parsers: [{pluginRef: as-it-is}]}
routing:
  modelRewrites:
  - {name: alias, rules: [{matches: [{model: {value: public}}], targets: [{modelRewrite: own}]}]}
"""


@pytest.mark.parametrize(
    "body",
    [
        b"\x00binary",
        b"[1]",
        b'{"model": "public", "messages": [{"role": "user", "content": "hi"}]}',
        b'{"prompt_token_ids": [1]}',
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/my/own"])
def test_with_the_passthrough_parser_alone_no_body_is_read_refused_or_rewritten(
    path: str, body: bytes
) -> None:
    picker = a_picker(AGNOSTIC)
    first = picker.director.begin(arrival(body, path, model_name_rewrite="other"), 1.0)
    assert first.body is body
    assert (first.api, first.facts.model, first.facts.target_model) == ("passthrough", "", "")
    assert first.facts.prompt_tokens == -(-len(body) // 4)
    second = picker.director.begin(arrival(body, path), 1.0)
    assert first.placed is not None
    assert second.placed is not None
    assert first.placed.decision.ordered[0] is not second.placed.decision.ordered[0]  # by load


def test_bodies_are_read_as_the_configuration_in_force_says() -> None:
    picker = a_picker("")
    wrong = arrival(b"\x00binary")
    assert picker.director.begin(wrong, 1.0).refused is not None
    picker.reconfigure(read_configuration(HEAD + AGNOSTIC), 1.0)
    assert picker.director.begin(wrong, 1.0).placed is not None
    picker.reconfigure(read_configuration(HEAD), 1.0)
    assert picker.director.begin(wrong, 1.0).refused is not None
