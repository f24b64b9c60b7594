from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epp.compose import Picker
from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.director import Begun, Cause, Ending
from epp.payloads.usage import Usage
from tests.helpers.disaggregation import (
    POOL,
    a_disagg_picker,
    an_arrival,
    apply,
    decision_of,
    endpoint,
    with_places,
)

ENDING = Ending(Cause.NATURAL)
LONG = 1000


def loads(*endpoints: Endpoint) -> list[tuple[int, int]]:
    return [(e.load.requests, e.load.prompt_tokens) for e in endpoints]


def test_the_first_token_ends_the_stages_before_it_and_nothing_else() -> None:
    picker = a_disagg_picker()
    begun = picker.director.begin(an_arrival(LONG, image=True), 0.0)
    decision, _ = decision_of(begun)
    early = [lease.endpoint for lease in decision.early_leases]
    assert picker.director.first_token(begun.facts, 0.5)
    assert loads(*early) == [(0, 0)] * 2
    assert loads(decision.ordered[0]) == [(1, begun.facts.prompt_tokens)]
    assert not picker.director.first_token(begun.facts, 0.5)
    picker.director.finish(begun.facts, ENDING, 1.0)
    assert loads(*early, decision.ordered[0]) == [(0, 0)] * 3


def test_where_the_body_is_not_shown_the_headers_are_the_last_sign_of_them() -> None:
    picker = a_disagg_picker()
    begun = picker.director.begin(an_arrival(LONG), 0.0)
    assert not picker.director.responding(begun.facts, "", 200, 0.5, body_follows=True)
    assert picker.ledger.leases_held == 2
    assert picker.director.responding(begun.facts, "", 200, 0.5, body_follows=False)
    assert picker.ledger.leases_held == 1
    assert not picker.director.responding(begun.facts, "", 200, 0.5, body_follows=False)


def test_an_end_without_a_first_token_gives_everything_back() -> None:
    picker = a_disagg_picker()
    begun = picker.director.begin(an_arrival(LONG, image=True), 0.0)
    picker.director.finish(begun.facts, Ending(Cause.CLIENT_DISCONNECT), 1.0)
    assert picker.ledger.leases_held == 0


def test_a_retry_moves_only_the_load_of_who_decodes() -> None:
    picker = a_disagg_picker()
    begun = picker.director.begin(an_arrival(LONG), 0.0)
    decision, record = decision_of(begun)
    picked = decision.ordered[0]
    [other] = [e for e in record.candidates if e is not picked]
    prefiller = decision.early_leases[0].endpoint
    picker.director.responding(begun.facts, other.authority, 200, 0.5)
    assert [load for load, _ in loads(picked, other, prefiller)] == [0, 1, 1]


def test_a_retry_at_who_prefilled_leaves_both_loads_there() -> None:
    picker = a_disagg_picker(pool={"b0": "both", "d0": "decode"})
    busy = [picker.director.begin(an_arrival(10, text=t), 0.0) for t in "ab"]
    begun = picker.director.begin(an_arrival(LONG, text="c"), 0.0)
    decision, _ = decision_of(begun)
    both = endpoint(picker, "b0")
    while decision.ordered[0] is both:  # it has to be picked to prefill
        busy.append(begun)
        begun = picker.director.begin(an_arrival(LONG, text=str(len(busy))), 0.0)
        decision, _ = decision_of(begun)
    before = both.load.requests
    picker.director.responding(begun.facts, both.authority, 200, 0.5)
    assert both.load.requests == before + 1
    picker.director.first_token(begun.facts, 0.5)
    assert both.load.requests == before
    for one in (*busy, begun):
        picker.director.finish(one.facts, ENDING, 1.0)
    assert picker.ledger.leases_held == both.load.requests == 0


def holders(picker: object, facts: RequestFacts) -> set[str]:
    store, index = picker.store, picker.index  # type: ignore[attr-defined]
    return {e.name for e in index.match(facts.prefix_blocks, store.endpoints)}


def test_who_prefilled_and_who_decodes_hold_the_prefix() -> None:
    picker = a_disagg_picker()
    begun = picker.director.begin(an_arrival(LONG), 0.0)
    decision, _ = decision_of(begun)
    both = {decision.ordered[0].name, decision.early_leases[0].endpoint.name}
    assert holders(picker, begun.facts) == both
    picker.director.responding(begun.facts, "", 200, 0.5)
    assert holders(picker, begun.facts) == both


def test_after_a_retry_who_decoded_holds_it_and_who_prefilled_still_does() -> None:
    picker = a_disagg_picker()
    begun = picker.director.begin(an_arrival(LONG), 0.0)
    decision, record = decision_of(begun)
    [other] = [e for e in record.candidates if e is not decision.ordered[0]]
    picker.director.responding(begun.facts, other.authority, 200, 0.5)
    assert holders(picker, begun.facts) == {other.name, decision.early_leases[0].endpoint.name}


def test_a_failure_earns_nobody_the_credit() -> None:
    picker = a_disagg_picker()
    begun = picker.director.begin(an_arrival(LONG), 0.0)
    picker.director.responding(begun.facts, "", 500, 0.5)
    assert holders(picker, begun.facts) == set()


def test_who_encoded_holds_no_prefix() -> None:
    picker = a_disagg_picker()
    begun = picker.director.begin(an_arrival(LONG, image=True), 0.0)
    assert "e0" not in holders(picker, begun.facts)


TOKEN_SECONDS, ON_THE_WAY = 1e-4, 0.02


def served(picker: Picker, count: int) -> float:
    """Long prompts one after the other, each prefilled apart at the same speed. Returns the end."""
    now = 0.0
    for n in range(count):
        arrival = an_arrival(LONG + 50 * (n % 9), text=f"{n:03}", stream=True)
        begun = picker.director.begin(arrival, now)
        decision, _ = decision_of(begun)
        [early] = decision.early_leases
        now += ON_THE_WAY + TOKEN_SECONDS * early.uncached_tokens
        picker.director.first_token(begun.facts, now)
        now += 1.0
        picker.director.finish(begun.facts, replace(ENDING, status=200), now)
    return now


def test_how_fast_prompts_are_computed_is_learned_of_who_computes_them() -> None:
    picker = a_disagg_picker()
    now = served(picker, 30)
    pool = picker.estimation.pool(5, now)
    assert pool is not None
    assert pool.prefill_token_seconds == pytest.approx(TOKEN_SECONDS, rel=0.05)
    assert pool.prefill_seconds == pytest.approx(ON_THE_WAY, rel=0.2)
    begun = picker.director.begin(an_arrival(LONG, text="new", stream=True), now)
    decision, _ = decision_of(begun)
    decoder, prefiller = decision.ordered[0], decision.early_leases[0].endpoint
    assert prefiller.estimate.awaited_tokens == begun.facts.prompt_tokens
    assert decoder.estimate.awaited_tokens == 0


def test_a_request_of_two_servers_counts_once() -> None:
    split, single = a_disagg_picker(), a_disagg_picker(pool={"d0": "decode"})
    rates = []
    for picker in (split, single):
        for n in range(20):
            begun = picker.director.begin(an_arrival(LONG, text=str(n), stream=True), float(n))
            picker.director.first_token(begun.facts, n + 0.1)
            picker.director.finish(begun.facts, replace(ENDING, status=200), n + 0.5)
        pool = picker.estimation.pool(1, 20.0)
        assert pool is not None
        rates.append((pool.arrival_rate, pool.finish_rate, pool.uncached_tokens))
    assert rates[0] == rates[1]


def test_an_answer_that_shows_no_first_token_teaches_nothing_of_who_answers() -> None:
    picker = a_disagg_picker()
    usage = Usage(prompt_tokens=LONG, completion_tokens=50, cached_tokens=LONG)
    for n in range(40):
        begun = picker.director.begin(an_arrival(LONG, text=str(n)), 10.0 * n)
        ending = Ending(Cause.NATURAL, status=200, usage=usage)
        picker.director.finish(begun.facts, ending, 10.0 * n + 9.0)
    assert picker.estimation.pool(5, 400.0) is None


NAMES = [*POOL, "b0", "x9"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "finish", "respond", "headers", "token", "tick", "pool"]),
        st.integers(0, 40),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(STEPS, st.booleans())
def test_whatever_happens_every_lease_is_given_back_once(
    steps: list[tuple[str, int]], full: bool
) -> None:
    picker = a_disagg_picker(more=with_places(2) if full else "", pool={**POOL, "b0": "both"})
    everyone = set(picker.store.endpoints)
    live: list[Begun] = []
    for at, (kind, number) in enumerate(steps):
        now = float(at)
        facts = live[number % len(live)].facts if live else None
        if kind == "begin":
            arrival = an_arrival(
                150 * (number % 4),
                image=number % 3 == 0,
                text=str(number % 5),
                stream=number % 2 == 0,
            )
            live.append(picker.director.begin(arrival, now))
        elif kind == "pool":
            kept = {name: role for n, (name, role) in enumerate(POOL.items()) if number >> n & 1}
            apply(picker, kept)
            everyone |= set(picker.store.endpoints)
            picker.director.something_changed(now)
        elif kind == "tick":
            picker.director.something_changed(now + number)
        elif facts is None:
            continue
        elif kind == "respond":
            name = NAMES[number % len(NAMES)]
            served = f"10.0.{ord(name[0])}.{name[1:]}:8000"
            picker.director.responding(facts, served, 200 if number % 3 else 503, 0.5)
        elif kind == "headers":
            picker.director.responding(facts, "", 200, 0.5, body_follows=False)
        elif kind == "token":
            picker.director.first_token(facts, 0.5)
        else:
            picker.director.finish(live.pop(number % len(live)).facts, ENDING, now)
        held = sum(e.load.requests for e in everyone)
        assert held == picker.ledger.leases_held >= len(picker.director)
    for begun in live:
        picker.director.finish(begun.facts, ENDING, 1e6)
    assert picker.ledger.leases_held == len(picker.director) == 0
    for e in everyone:
        load = e.load
        assert load.requests == load.prompt_tokens == 0
        assert load.uncached_tokens == load.prefilling_tokens == 0
    assert all(e.estimate.awaited_tokens == 0 for e in picker.store.endpoints)
