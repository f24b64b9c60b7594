"""Runs of small fleets for tests, of servers of one role or of several."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from epp.config.build import read_configuration
from epp.simulation.fleet.clients import Clients
from epp.simulation.fleet.run import FleetRun
from epp.simulation.fleet.servers import FleetSettings, parse_fleet
from epp.simulation.fleet.settings import RunSettings
from epp.simulation.policies import policy
from epp.simulation.workloads.arrivals import Load, Timed
from epp.simulation.workloads.turns import Session

OFTEN = Timed(tuple(n * 0.1 for n in range(200)))


def fleet_of(text: str, **fields: Any) -> FleetSettings:
    """As `--fleet` takes it: 2x8b-h100:prefill+2x8b-h100:decode."""
    parsed = parse_fleet(text)
    return FleetSettings(parsed.profiles, roles=parsed.roles, **fields)


def short_run(
    fleet: FleetSettings,
    document: str,
    asked: Iterable[Session],
    load: Load = OFTEN,
    **changed: Any,
) -> FleetRun:
    """Of twenty seconds, all of which count. The document may be the name of a policy."""
    times: dict[str, Any] = {
        "warmup_seconds": 0.0,
        "window_seconds": 20.0,
        "drain_seconds": 40.0,
    }
    text = document if "\n" in document else policy(document)
    clients = Clients(asked, load, Random(1))
    return FleetRun(RunSettings(fleet, **(times | changed)), read_configuration(text), clients)


def assert_idle(run: FleetRun) -> None:
    assert len(run.picker.director) == 0
    assert run.picker.ledger.leases_held == 0
    for server in run.servers:
        assert (server.engine.running, server.engine.waiting) == (0, 0)
        assert server.engine.cache.held == 0
        assert server.engine.cache.blocks_in_free_list() == server.engine.cache.capacity
        if server.endpoint is not None:
            load = server.endpoint.load
            assert (load.requests, load.prompt_tokens, load.prefilling_tokens) == (0, 0, 0)
