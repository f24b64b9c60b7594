from __future__ import annotations

import math

from epp.core.endpoint import Endpoint
from epp.core.estimate import PoolEstimate
from epp.estimation.residency import (
    AWAY_LOAD_TOKENS,
    HOST_LOAD_TOKENS,
    REMEMBERED,
    Residency,
    Tier,
)
from tests.helpers.build import an_endpoint

TOKEN = 1e-4
POOL = PoolEstimate(0.0, TOKEN, 100.0, 0.0, residence_seconds=3.0)


def a_residency(*listed: tuple[Endpoint, str]) -> Residency:
    return Residency(lambda endpoint, model: (endpoint, model) in listed)


def test_the_latest_adapters_are_resident_and_earlier_ones_near() -> None:
    residency, endpoint = a_residency(), an_endpoint(max_adapters=2)
    assert residency.enter(endpoint, "a") is Tier.AWAY
    assert residency.enter(endpoint, "b") is Tier.AWAY
    assert residency.enter(endpoint, "a") is Tier.RESIDENT
    assert residency.enter(endpoint, "c") is Tier.AWAY
    assert residency.tier(endpoint, "a") is Tier.RESIDENT
    assert residency.tier(endpoint, "b") is Tier.HOST
    assert residency.tier(an_endpoint(), "a") is Tier.AWAY


def test_what_the_server_itself_says() -> None:
    running, lists = an_endpoint(running_adapters=frozenset({"a"})), an_endpoint()
    residency = a_residency((lists, "a"))
    assert residency.tier(running, "a") is Tier.RESIDENT
    assert residency.tier(lists, "a") is Tier.HOST


def test_loads_cost_what_they_cost_before() -> None:
    residency, endpoint, other = a_residency(), an_endpoint(max_adapters=1), an_endpoint()
    for seconds in (0.7, 99.0, 0.8, 0.9, 0.0):
        residency.loaded(Tier.AWAY, seconds)
    residency.loaded(Tier.HOST, 0.1)
    residency.loaded(Tier.RESIDENT, 99.0)
    residency.enter(endpoint, "a")
    residency.leave(endpoint, "a")
    residency.enter(endpoint, "b")
    residency.leave(endpoint, "b")
    loads, waits = residency.costs("a", [endpoint, other], POOL)
    assert loads == {endpoint: 0.1, other: 0.8}
    assert waits == {}
    loads, _ = residency.costs("b", [endpoint], POOL)
    assert loads == {}


def test_a_gain_from_loading_is_noise() -> None:
    residency = a_residency()
    residency.loaded(Tier.HOST, -3.0)
    assert residency.load_seconds(Tier.HOST, TOKEN) == 0.0


def test_before_a_load_was_seen_it_costs_so_many_tokens() -> None:
    residency, near, far = a_residency(), an_endpoint(max_adapters=1), an_endpoint()
    for adapter in ("a", "b"):
        residency.enter(near, adapter)
        residency.leave(near, adapter)
    tokens = {near: HOST_LOAD_TOKENS, far: AWAY_LOAD_TOKENS}
    assert residency.costs("a", [near, far], None)[0] == tokens
    seconds = {endpoint: TOKEN * count for endpoint, count in tokens.items()}
    assert residency.costs("a", [near, far], POOL)[0] == seconds
    residency.loaded(Tier.HOST, 5.0)  # and one from farther away takes no less
    assert residency.costs("a", [near, far], POOL)[0] == {near: 5.0, far: 5.0}


def test_with_all_slots_in_use_an_adapter_waits_for_one() -> None:
    residency, endpoint = a_residency(), an_endpoint(max_adapters=2)
    for adapter in ("a", "b", "b"):
        residency.enter(endpoint, adapter)
    assert residency.costs("a", [endpoint], POOL)[1] == {}
    alone = math.expm1(1)  # until the one `a` has ended, and those that came meanwhile
    assert residency.costs("c", [endpoint], POOL)[1] == {endpoint: 3.0 * alone}
    assert residency.costs("c", [endpoint], None)[1] == {endpoint: AWAY_LOAD_TOKENS * alone}
    assert (residency.excess(endpoint, "a"), residency.excess(endpoint, "c")) == (0, 1)
    residency.enter(endpoint, "c")
    assert residency.costs("d", [endpoint], POOL)[1] == {endpoint: 2 * 3.0 * alone}
    residency.leave(endpoint, "b")
    residency.leave(endpoint, "c")
    residency.enter(endpoint, "a")
    residency.enter(endpoint, "b")
    twice = 3.0 * math.expm1(2) / 2
    assert residency.costs("d", [endpoint], POOL)[1] == {endpoint: twice}
    residency.leave(endpoint, "b")
    assert residency.costs("d", [endpoint], POOL)[1] == {endpoint: 3.0 * alone}
    residency.leave(endpoint, "b")
    assert residency.costs("d", [endpoint], POOL)[1] == {}


def test_a_restart_loses_all_adapters_but_no_request() -> None:
    residency, endpoint = a_residency(), an_endpoint()
    residency.enter(endpoint, "a")
    residency.restarted(endpoint)
    assert residency.tier(endpoint, "a") is Tier.AWAY
    residency.leave(endpoint, "a")
    residency.restarted(an_endpoint())


def test_who_left_is_forgotten_and_may_still_end() -> None:
    residency, endpoint = a_residency(), an_endpoint()
    residency.enter(endpoint, "a")
    residency.forget(endpoint)
    residency.leave(endpoint, "a")
    assert residency.tier(endpoint, "a") is Tier.AWAY


def test_adapters_without_end_are_forgotten_in_turn() -> None:
    residency, endpoint = a_residency(), an_endpoint()
    for n in range(REMEMBERED + 10):
        residency.enter(endpoint, f"a{n}")
        residency.leave(endpoint, f"a{n}")
    assert residency.tier(endpoint, "a9") is Tier.AWAY
    assert residency.tier(endpoint, "a10") is Tier.HOST
