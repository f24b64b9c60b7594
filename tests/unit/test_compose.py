from __future__ import annotations

import pytest

from tests.helpers.disaggregation import a_disagg_picker, apply, endpoint, with_places
from tests.helpers.fleet import Fleet, a_fleet_picker

LIMIT = 5  # requests that may wait in one engine, as the default detector has it


def test_a_restart_with_every_place_busy_does_not_overshoot() -> None:
    fleet = Fleet(servers=3, places=4)
    for server in range(3):
        fleet.fill(server, 4 + LIMIT)  # all places taken, and the queue at its limit
    fleet.advance(0.1)
    picker = a_fleet_picker(3)  # knows nothing of what runs
    fleet.scrape(picker)
    for _ in range(60):
        fleet.arrive(picker)
    assert len(picker.director) == 0
    assert fleet.most_waiting <= 4 + LIMIT
    for _ in range(200):
        fleet.advance(0.05)
        fleet.scrape(picker)
        assert all(engine.waiting <= LIMIT for engine in fleet.engines)
    assert fleet.served == 3 * (4 + LIMIT) + 60
    assert picker.ledger.leases_held == 0


def test_two_pickers_on_one_pool_bound_each_other() -> None:
    fleet = Fleet(servers=3, places=4)
    pickers = [a_fleet_picker(3), a_fleet_picker(3)]
    for picker in pickers:
        fleet.scrape(picker)
    arrivals = 0
    for tick in range(300):
        for picker in pickers:
            if tick < 200:
                fleet.arrive(picker)
                arrivals += 1
            fleet.scrape(picker)
        fleet.advance(0.02)
        # Between two of its scrapes a picker cannot see what the other places.
        assert all(engine.waiting <= 2 * LIMIT for engine in fleet.engines)
    fleet.advance(60.0)
    for _ in range(100):
        for picker in pickers:
            fleet.scrape(picker)
        fleet.advance(1.0)
    assert fleet.served == arrivals
    assert all(picker.ledger.leases_held == 0 for picker in pickers)


def test_the_foreign_load_of_one_is_the_own_load_of_the_other() -> None:
    fleet = Fleet(servers=1, places=100)
    one, two = a_fleet_picker(1), a_fleet_picker(1)
    for picker in (one, two):
        fleet.scrape(picker)
    for _ in range(5):
        fleet.arrive(one)
    for _ in range(10):
        fleet.advance(0.02)
        fleet.scrape(two)
    [endpoint] = two.store.endpoints
    assert endpoint.load.requests == 0
    assert endpoint.load.foreign == pytest.approx(5.0, abs=0.1)


def test_a_burst_is_spread_before_any_scrape_has_seen_it() -> None:
    fleet = Fleet(servers=4, places=8)
    picker = a_fleet_picker(4)
    fleet.scrape(picker)
    for n in range(12):
        fleet.arrive(picker, prompt=f"{n} is another prompt")
    assert [endpoint.load.requests for endpoint in picker.store.endpoints] == [3, 3, 3, 3]


def test_saturation_is_told_by_the_roles_of_the_pool() -> None:
    picker = a_disagg_picker(more=with_places(10))
    endpoint(picker, "p0").load.requests = 10  # half of those who prefill
    assert picker.saturations(0.0) == {"prefill": 0.5, "decode": 0.0, "effective": 0.5}
    apply(picker, {"d0": "", "d1": ""})
    endpoint(picker, "d0").load.requests = 10
    assert picker.saturations(0.0) == {"decode": 0.5, "effective": 0.5}
    apply(picker, {"e0": "encode"})
    assert picker.saturations(0.0) == {"effective": 0.0}


def test_a_thousand_equal_prompts_at_once_are_spread_evenly() -> None:
    fleet = Fleet(servers=8, places=256)
    picker = a_fleet_picker(8)
    for _ in range(1000):
        fleet.arrive(picker, prompt="the same prompt " * 40)
    busiest = max(endpoint.load.requests for endpoint in picker.store.endpoints)
    assert busiest <= 1.15 * 1000 / 8
