from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import cycle
from random import Random

import pytest

from epp.config.build import read_configuration
from epp.simulation.fleet.clients import Clients
from epp.simulation.fleet.engine import FleetEngine
from epp.simulation.fleet.faults import Fault
from epp.simulation.fleet.oracle import Oracle, cost
from epp.simulation.fleet.records import RunRecords
from epp.simulation.fleet.requests import FleetRequest
from epp.simulation.fleet.run import FleetRun
from epp.simulation.fleet.segments import Segment
from epp.simulation.fleet.servers import FleetSettings
from epp.simulation.fleet.settings import RunSettings
from epp.simulation.policies import policy
from epp.simulation.workloads.arrivals import Timed
from epp.simulation.workloads.turns import Session, Texts, Turn

OUTPUT_TOKENS = 100.0


def an_engine(profile: str = "8b-h100", *, slowness: float = 1.0, tokens: int = 0) -> FleetEngine:
    fleet = FleetSettings((profile,), max_adapters=1, kv_cache_tokens=tokens or None)
    quiet = replace(fleet.engine(profile, slowness), jitter_sigma=0.0, stall_probability=0.0)
    return FleetEngine(quiet, Random(1))


def a_request(
    key: int = 1, tokens: int = 2000, output: int = 100, adapter: str = ""
) -> FleetRequest:
    return FleetRequest([Segment(key, tokens)], output, adapter=adapter)


def cost_on(engine: FleetEngine, request: FleetRequest | None = None, now: float = 100.0) -> float:
    return cost(engine, request or a_request(), (), OUTPUT_TOKENS, now)


def served(engine: FleetEngine, *requests: FleetRequest) -> FleetEngine:
    for request in requests:
        engine.submit(request, 0.0)
    while not engine.idle:
        engine.step()
    return engine


def loaded(engine: FleetEngine, *requests: FleetRequest, steps: int = 0) -> FleetEngine:
    for request in requests:
        engine.submit(request, 100.0)
    for _ in range(steps):
        engine.step()
    return engine


def test_on_an_idle_server_it_is_about_the_time_that_the_request_takes() -> None:
    engine, request = an_engine(), a_request()
    expected = cost(engine, request, (), float(request.output_tokens), 0.0)
    served(engine, request)
    assert expected == pytest.approx(request.last_token_at, rel=0.05)


def test_what_is_cached_costs_less_and_the_truth_counts() -> None:
    assert cost_on(served(an_engine(), a_request())) < cost_on(an_engine()) - 0.05


def test_a_queue_costs_and_so_does_what_is_still_on_the_way() -> None:
    others = [a_request(key, 8000) for key in range(2, 5)]
    queued = loaded(an_engine(), *others)
    assert cost_on(queued) > cost_on(an_engine()) + 3 * 8000 * 31e-6
    on_the_way = cost(an_engine(), a_request(), others, OUTPUT_TOKENS, 100.0)
    assert on_the_way == pytest.approx(cost_on(queued), rel=0.2)


def test_a_prompt_in_work_counts_with_what_is_left_of_it() -> None:
    long = loaded(an_engine(), a_request(2, 80_000))
    begun = cost_on(long)
    for _ in range(8):
        long.step()
    assert cost_on(long, now=long.started_at) < begun - 3.0


def test_the_more_decode_the_more_a_prompt_holds_up() -> None:
    few = loaded(an_engine(), *[a_request(key, 16) for key in range(2, 4)], steps=2)
    many = loaded(an_engine(), *[a_request(key, 16) for key in range(2, 42)], steps=2)
    assert (few.decoding, many.decoding) == (2, 40)
    assert cost_on(many) > cost_on(few) + 30 * 2000 * 31e-6


def test_a_slow_server_costs_more() -> None:
    assert cost_on(an_engine(slowness=3.0)) == pytest.approx(3 * cost_on(an_engine()), rel=0.01)
    assert cost_on(an_engine("8b-a100")) > cost_on(an_engine())


def test_a_full_cache_costs_the_time_until_there_is_room() -> None:
    others = [a_request(key, 3000, 500) for key in range(2, 5)]
    roomy, full = (loaded(an_engine(tokens=n), *others, steps=5) for n in (100_000, 10_000))
    assert cost_on(full, now=full.started_at) > cost_on(roomy, now=roomy.started_at) + 0.05


def test_an_adapter_costs_where_it_is_not_loaded_and_more_where_slots_are_taken() -> None:
    asked = a_request(tokens=100, adapter="a")
    there = served(an_engine(), a_request(2, 100, adapter="a"))
    taken = loaded(an_engine(), a_request(3, 100, adapter="b"), steps=1)
    assert cost_on(there, asked) < cost_on(an_engine(), asked)
    assert cost_on(taken, asked) > cost_on(an_engine(), asked) + 0.3


def sessions() -> Iterable[Session]:
    texts = Texts()
    shared = [texts.new(3000) for _ in range(12)]
    return ((Turn((text, texts.new(200)), 60),) for text in cycle(shared))


def a_run(*, oracle: bool, faults: tuple[Fault, ...] = ()) -> tuple[FleetRun, RunRecords]:
    settings = RunSettings(
        FleetSettings(("8b-h100",) * 3),
        warmup_seconds=0.0,
        window_seconds=20.0,
        oracle=oracle,
        faults=faults,
    )
    clients = Clients(sessions(), Timed(tuple(n * 0.03 for n in range(600))), Random(1))
    run = FleetRun(settings, read_configuration(policy("random")), clients)
    return run, run.run()


def mean_seconds(records: RunRecords) -> float:
    return sum(record.seconds for record in records.requests) / len(records.requests)


def test_it_decides_better_than_chance() -> None:
    (_, known), (_, drawn) = a_run(oracle=True), a_run(oracle=False)
    assert all(record.served for record in known.requests)
    assert mean_seconds(known) < 0.9 * mean_seconds(drawn)


def test_it_keeps_nothing_of_what_has_ended() -> None:
    faults = (Fault(5.0, "crash", 0, 3.0), Fault(9.0, "remove", 1))
    run, _ = a_run(oracle=True, faults=faults)
    assert isinstance(run._onlooker, Oracle)
    assert len(run._onlooker) == 0


def test_it_knows_no_roles() -> None:
    fleet = FleetSettings(("8b-h100",), roles=("decode",))
    with pytest.raises(ValueError, match="the oracle knows no roles"):
        RunSettings(fleet, oracle=True)
