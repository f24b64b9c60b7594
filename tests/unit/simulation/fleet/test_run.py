from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, replace
from itertools import cycle
from random import Random
from typing import Any

import pytest

from epp.config.build import read_configuration
from epp.simulation.fleet.clients import Clients
from epp.simulation.fleet.faults import Fault
from epp.simulation.fleet.records import Record, RunRecords
from epp.simulation.fleet.run import FleetRun
from epp.simulation.fleet.segments import Segment
from epp.simulation.fleet.servers import FleetSettings
from epp.simulation.fleet.settings import RunSettings
from epp.simulation.policies import policy
from epp.simulation.workloads.arrivals import ClosedLoop, Load, Timed
from epp.simulation.workloads.turns import Session, Texts, Turn
from tests.unit.simulation.fleet.runs import assert_idle

SETTINGS = RunSettings(
    FleetSettings(("8b-h100",) * 3, max_num_seqs=8),
    warmup_seconds=0.0,
    window_seconds=20.0,
    drain_seconds=40.0,
)
OFTEN = Timed(tuple(n * 0.05 for n in range(400)))  # 20 a second, until the window ends


def sessions(output: int = 60, **options: Any) -> Iterable[Session]:
    """Prompts of 800 tokens, half of them shared."""
    texts = Texts()
    shared = [texts.new(400) for _ in range(5)]
    return ((Turn((text, texts.new(400)), output, **options),) for text in cycle(shared))


def a_run(
    name: str = "round-robin",
    load: Load = OFTEN,
    asked: Iterable[Session] | None = None,
    **changed: Any,
) -> FleetRun:
    document = policy(name) if name else None
    clients = Clients(sessions() if asked is None else asked, load, Random(1))
    return FleetRun(replace(SETTINGS, **changed), read_configuration(document), clients)


def ended(record: Record) -> bool:
    return record.served or record.lost or record.refusal != ""


def sent_to(records: RunRecords, server: int) -> list[Record]:
    return [record for record in records.requests if record.server == server]


FAULTS = {
    "none": (),
    "slow": (Fault(5.0, "slow", 0, 8.0),),
    "crash": (Fault(5.0, "crash", 0, 5.0),),
    "two crashes": (Fault(5.0, "crash", 0, 9.0), Fault(7.0, "crash", 0, 1.0)),
    "cold": (Fault(5.0, "cold", 0),),
    "blind": (Fault(5.0, "blind", 0, 10.0),),
    "all gone": tuple(Fault(5.0, "remove", n) for n in range(3)),
    "late": (Fault(5.0, "add", 0), Fault(12.0, "remove", 0)),
}


@pytest.mark.parametrize("name", ["", "sticky", "least-request"])
@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_every_request_ends_exactly_once_and_nothing_is_held_afterwards(
    name: str, faults: tuple[Fault, ...]
) -> None:
    run = a_run(name, faults=faults)
    records = run.run()
    assert len(records.requests) == 400
    assert all(ended(record) for record in records.requests)
    for record in records.requests:
        assert [record.served, record.lost, record.refusal != ""].count(True) == 1
    assert_idle(run)


def test_what_is_served_has_times_in_their_order() -> None:
    for record in a_run().run().requests:
        assert record.asked_at < record.first_token_at < record.ended_at
        assert 0 <= record.cached_tokens < record.prompt_tokens


def values(records: RunRecords) -> list[tuple[Any, ...]]:
    return [tuple(map(repr, astuple(record))) for record in records.requests]


def test_equal_runs_give_equal_records() -> None:
    faults = (Fault(5.0, "crash", 0, 5.0),)
    one, other = (a_run("random", faults=faults).run() for _ in range(2))
    assert values(one) == values(other)
    assert values(one) != values(a_run("random", faults=faults, seed=2).run())


def test_different_policies_are_asked_the_same_at_the_same_times() -> None:
    def asked(records: RunRecords) -> list[tuple[float, int, int]]:
        return [(r.asked_at, r.prompt_tokens, r.output_tokens) for r in records.requests]

    assert asked(a_run("random").run()) == asked(a_run("sticky").run())


def mean_seconds(records: Sequence[Record]) -> float:
    return sum(record.seconds for record in records) / len(records)


def test_a_slow_server_takes_longer_until_it_is_healed() -> None:
    faults = (Fault(0.0, "slow", 0, 4.0), Fault(12.0, "slow", 0, 1.0))
    records = a_run(faults=faults).run()
    early = [r for r in sent_to(records, 0) if 1 < r.asked_at < 6]
    late = [r for r in sent_to(records, 0) if r.asked_at > 16]
    other = [r for r in sent_to(records, 1) if 1 < r.asked_at < 6]
    assert mean_seconds(early) > 2 * mean_seconds(other)
    assert mean_seconds(late) < 1.5 * mean_seconds(other)


def test_a_crash_loses_what_runs_there_and_nothing_goes_there_until_it_is_back() -> None:
    records = a_run(faults=(Fault(5.0, "crash", 0, 6.0),)).run()
    lost = [record for record in records.requests if record.lost]
    assert lost
    assert {record.server for record in lost} == {0}
    assert all(record.asked_at <= 5.0 for record in lost)
    times = [record.asked_at for record in sent_to(records, 0)]
    assert not [at for at in times if 5.001 < at < 11.0]
    assert [at for at in times if at > 11.0]


def test_a_second_crash_does_not_end_the_first_early() -> None:
    records = a_run(faults=FAULTS["two crashes"]).run()
    times = [record.asked_at for record in sent_to(records, 0)]
    assert not [at for at in times if 5.001 < at < 14.0]
    assert [at for at in times if at > 14.0]


def test_a_cold_server_computes_again_what_it_had() -> None:
    """Every third request finds its prefix on server 0, but for the first ones after the fault."""
    kept = sent_to(a_run(load=Timed(tuple(map(float, range(20))))).run(), 0)
    cold = a_run(load=Timed(tuple(map(float, range(20)))), faults=(Fault(16.5, "cold", 0),)).run()
    after = [record.cached_tokens for record in sent_to(cold, 0) if record.asked_at > 16.5]
    before = [record.cached_tokens for record in kept if record.asked_at > 16.5]
    assert all(before)
    assert not any(after)


def test_what_a_blind_server_says_grows_old() -> None:
    run = a_run(faults=(Fault(4.0, "blind", 0, 1000.0),))
    run.run()
    blind, other = (run.servers[n].endpoint for n in (0, 1))
    assert blind is not None
    assert other is not None
    assert blind.metrics.running_read_at < 4.0
    assert other.metrics.running_read_at > 15.0


def test_servers_join_and_leave_the_pool() -> None:
    faults = (Fault(5.0, "add", 0), Fault(10.0, "remove", 0), Fault(8.0, "remove", 1))
    records = a_run(faults=(*faults, Fault(12.0, "add", 1))).run()
    joined = [record.asked_at for record in sent_to(records, 0)]
    back = [record.asked_at for record in sent_to(records, 1)]
    assert min(joined) >= 5.0
    assert max(joined) <= 10.0
    assert not [at for at in back if 8.0 < at < 12.0]
    assert min(back) < 5.0
    assert max(back) > 12.0
    assert not [record for record in records.requests if record.lost]  # they end what they have


def test_a_server_that_joins_while_it_is_down_gets_nothing() -> None:
    faults = (Fault(2.0, "crash", 0, 10.0), Fault(3.0, "remove", 0), Fault(4.0, "add", 0))
    records = a_run(faults=faults).run()
    assert not [r for r in sent_to(records, 0) if 2.001 < r.asked_at < 12.0]
    assert [r for r in sent_to(records, 0) if r.asked_at > 12.0]


def test_a_fault_of_a_server_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="slow:3: the fleet has servers 0 to 2"):
        a_run(faults=(Fault(1.0, "slow", 3),))


@pytest.mark.parametrize("sees", [True, False])
def test_only_full_mode_tells_of_first_tokens(sees: bool) -> None:
    """The run ends in the middle of an answer."""
    short = {"window_seconds": 1.0, "drain_seconds": 3.0}
    run = a_run(asked=sessions(output=2000), load=Timed((0.0,)), sees_tokens=sees, **short)
    run.run()
    assert run.now > 1.0
    [held] = [s.endpoint.load for s in run.servers if s.endpoint and s.endpoint.load.requests]
    assert held.prefilling_tokens == (0 if sees else 800)


def test_what_no_server_can_ever_hold_is_lost_at_once_and_blocks_nobody() -> None:
    texts = Texts()
    asked = [(Turn((texts.new(n),), 10),) for n in (400_000, 100)]
    run = a_run(load=Timed((0.0, 0.1)), asked=asked, fleet=FleetSettings(("8b-h100",)))
    huge, small = run.run().requests
    assert (huge.lost, huge.served) == (True, False)
    assert (small.lost, small.served) == (False, True)
    assert_idle(run)


def test_a_client_that_is_refused_does_not_ask_for_ever_at_one_moment() -> None:
    """An empty pool refuses at once: with one client that is about one request a second."""
    faults = tuple(Fault(1000.0, "add", n) for n in range(3))
    records = a_run(load=ClosedLoop(1), faults=faults).run()
    assert 15 <= len(records.requests) <= 21
    assert all(record.refusal for record in records.requests)


def test_a_closed_loop_has_as_many_requests_in_flight_as_clients() -> None:
    records = a_run(load=ClosedLoop(5, ramp_seconds=0.0)).run()
    moment = 10.0
    inside = [r for r in records.requests if r.asked_at <= moment < r.ended_at]
    assert len(inside) == 5


def test_a_full_batch_holds_requests_up_for_places() -> None:
    run = a_run(asked=sessions(output=400), fleet=FleetSettings(("8b-h100",), max_num_seqs=4))
    [use] = run.run().servers
    assert use.held_up["places"] > 10.0
    assert use.held_up.keys() == {"places"}


def test_a_full_cache_holds_requests_up_for_memory() -> None:
    fleet = FleetSettings(("8b-h100",), kv_cache_tokens=8000)
    [use] = a_run(asked=sessions(output=400), fleet=fleet).run().servers
    assert use.held_up["memory"] > 10.0
    assert use.kv_cache > 0.7 * 20.0


def test_more_adapters_than_slots_hold_requests_up() -> None:
    texts = Texts()
    asked = ((Turn((texts.new(100),), 60, model=f"adapter-{n}"),) for n in cycle(range(6)))
    fleet = FleetSettings(("8b-h100",), max_adapters=1, adapter_first_load_seconds=0.5)
    [use] = a_run(asked=asked, fleet=fleet).run().servers
    assert use.held_up["adapters"] > 10.0
    assert use.loading >= 0.5


def test_long_prompts_take_the_time_of_prefill() -> None:
    texts = Texts()
    asked = ((Turn((texts.new(20_000),), 2),) for _ in cycle([0]))
    [use] = a_run(asked=asked, fleet=FleetSettings(("8b-h100",))).run().servers
    assert use.prefilling > 0.95 * use.busy
    assert use.busy == pytest.approx(20.0, rel=0.05)
    assert use.held_up["prefill"] > 10.0


def test_an_idle_server_has_no_use() -> None:
    [use] = a_run(load=Timed(()), fleet=FleetSettings(("8b-h100",))).run().servers
    assert (use.busy, use.prefilling, use.kv_cache, use.held_up) == (0.0, 0.0, 0.0, {})


def test_turns_of_a_session_follow_each_other() -> None:
    shared = Segment(1, 100)
    session = [Turn((shared,), 20), Turn((shared,), 20, after_seconds=3.0)]
    first, second = a_run(load=Timed((0.0,)), asked=[session]).run().requests
    assert second.asked_at == pytest.approx(first.ended_at + 3.0)
    assert not math.isnan(second.ended_at)


def test_a_picker_that_parses_no_body_knows_the_size_of_prompts_alone() -> None:
    passing = "requestHandler: {parsers: [{pluginRef: passthrough-parser}]}\n"
    expected = {}
    for extra in ("", passing):
        clients = Clients(sessions(), OFTEN, Random(1))
        run = FleetRun(SETTINGS, read_configuration(policy("blend") + extra), clients)
        records = run.run()
        assert all(record.served for record in records.requests)
        expected[extra] = sum(record.expected_cached_tokens for record in records.requests)
    assert expected[""] > 0
    assert expected[passing] == 0
