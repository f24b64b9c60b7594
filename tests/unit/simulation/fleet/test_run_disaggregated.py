"""Runs in which one server computes the prompt and another answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest

from epp.simulation.fleet.faults import Fault
from epp.simulation.fleet.records import RunRecords
from epp.simulation.fleet.run import FleetRun
from epp.simulation.fleet.servers import FleetSettings
from epp.simulation.fleet.transfers import LinkSettings
from epp.simulation.workloads.arrivals import Load, Timed
from epp.simulation.workloads.turns import Session, Texts, Turn
from tests.unit.simulation.fleet.runs import OFTEN, assert_idle, fleet_of, short_run

FLEET = fleet_of("2x8b-h100:prefill+2x8b-h100:decode")
PREFILLERS, DECODERS = {0, 1}, {2, 3}


def sessions(tokens: int = 6000, output: int = 60) -> Iterable[Session]:
    """Prompts that share nothing."""
    texts = Texts()
    return ((Turn((texts.new(tokens),), output),) for _ in cycle([0]))


def a_run(
    name: str = "prefill-decode-by-cost",
    load: Load = OFTEN,
    asked: Iterable[Session] | None = None,
    fleet: FleetSettings = FLEET,
    **changed: Any,
) -> FleetRun:
    asked = sessions() if asked is None else asked
    return short_run(fleet, name, asked, load, **changed)


def prefill_seconds(records: RunRecords, servers: set[int]) -> float:
    return sum(records.servers[n].prefilling for n in servers)


@pytest.mark.parametrize("name", ["prefill-decode", "prefill-decode-by-cost"])
def test_one_computes_the_prompt_and_another_answers(name: str) -> None:
    run = a_run(name, load=Timed(tuple(n * 0.1 for n in range(50))))
    records = run.run()
    assert len(records.requests) == 50
    assert all(record.served for record in records.requests)
    assert {record.server for record in records.requests} == DECODERS
    # The decoders compute the last token of each prompt and no more.
    assert prefill_seconds(records, PREFILLERS) > 20 * prefill_seconds(records, DECODERS)
    assert records.output_tokens == 50 * 60  # prefills make none
    assert_idle(run)


def test_a_short_prompt_is_computed_where_it_is_answered() -> None:
    records = a_run(asked=sessions(tokens=500)).run()
    assert all(record.served for record in records.requests)
    assert prefill_seconds(records, PREFILLERS) == 0.0


def test_answers_are_not_held_up_by_prompts() -> None:
    """What disaggregation is for: even gaps between tokens, at the price of a later first one."""
    together = FleetSettings(FLEET.profiles)
    shared = a_run("marginal-cost", fleet=together).run()
    apart = a_run().run()
    assert apart.gaps.quantile(0.99) < shared.gaps.quantile(0.99) / 3


def first_token(**changed: Any) -> float:
    [record] = a_run(load=Timed((0.0,)), **changed).run().requests
    return record.ttft_seconds


def test_keys_and_values_take_their_time_on_the_way() -> None:
    def over(bytes_per_second: float) -> float:
        links = LinkSettings(bytes_per_second, setup_seconds=0.0)
        return first_token(fleet=replace(FLEET, links=links))

    sent = 6000 * 131_072  # tokens, bytes of each
    assert over(1e9) - over(1e12) == pytest.approx(sent / 1e9, rel=0.01)


def test_what_the_decoder_has_cached_is_not_sent() -> None:
    texts = Texts()
    begun, follows = texts.new(6000), texts.new(3000)
    asked = [(Turn((begun,), 5),), (Turn((begun, follows), 5),)]
    slow = LinkSettings(bytes_per_second=1e9, setup_seconds=0.0)
    fleet = fleet_of("8b-h100:prefill+8b-h100:decode", links=slow)
    _, second = a_run(load=Timed((0.0, 10.0)), asked=asked, fleet=fleet).run().requests
    assert second.cached_tokens == 6000  # by the server that computed the prompt
    sent = 3000 * 131_072 / 1e9
    assert sent < second.ttft_seconds < sent + 0.2


@pytest.mark.parametrize("sees_tokens", [True, False])
@pytest.mark.parametrize("server", [0, 2])
def test_a_crash_of_either_loses_what_it_had_and_nothing_is_held_afterwards(
    server: int, sees_tokens: bool
) -> None:
    faults = (Fault(5.02, "crash", server, 5.0),)
    run = a_run(faults=faults, sees_tokens=sees_tokens)
    records = run.run()
    assert len(records.requests) == 200
    assert all(record.served or record.lost for record in records.requests)
    assert 0 < sum(record.lost for record in records.requests) < 20
    assert_idle(run)


def test_without_a_server_for_prompts_the_decoders_compute_them() -> None:
    faults = tuple(Fault(0.0, "remove", n) for n in PREFILLERS)
    run = a_run(faults=faults, load=Timed(tuple(1.0 + n * 0.2 for n in range(50))))
    records = run.run()
    assert all(record.served for record in records.requests)
    assert prefill_seconds(records, PREFILLERS) == 0.0
    assert_idle(run)
