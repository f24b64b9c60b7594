"""Runs by name: a workload, a fleet, a load, a policy and a seed make one outcome."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from epp.config.build import read_configuration
from epp.simulation.fleet.clients import Clients
from epp.simulation.fleet.faults import Fault
from epp.simulation.fleet.outcome import Objectives, Outcome, outcome_of
from epp.simulation.fleet.run import FleetRun, RunSettings
from epp.simulation.fleet.servers import FleetSettings, parse_fleet
from epp.simulation.workloads.arrivals import OpenLoop
from epp.simulation.workloads.catalogue import CATALOGUE


@dataclass(frozen=True, slots=True)
class Cell:
    """One run, as a value that another process can be given."""

    workload: str
    fleet: str
    rate: float  # requests per second
    policy: str  # text of the configuration document; empty is the default
    seed: int = 1
    scrape_seconds: float = 0.05
    sees_tokens: bool = True
    faults: tuple[Fault, ...] = ()
    warm: bool = True  # else from cold caches, measured from the first request on
    max_num_seqs: int = 256  # requests that a server runs at a time


def simulate(cell: Cell) -> Outcome:
    workload = CATALOGUE[cell.workload]
    fleet = FleetSettings(parse_fleet(cell.fleet), max_num_seqs=cell.max_num_seqs)
    if workload.adapters:
        fleet = replace(fleet, adapter_load_seconds=0.03, adapter_first_load_seconds=0.8)
    settings = RunSettings(
        fleet,
        warmup_seconds=workload.warmup_seconds if cell.warm else 0.0,
        window_seconds=workload.window_seconds,
        drain_seconds=workload.drain_seconds,
        scrape_seconds=cell.scrape_seconds,
        sees_tokens=cell.sees_tokens,
        faults=cell.faults,
        seed=cell.seed,
    )
    # Equal seeds ask the same at the same times, whatever the policy does.
    asking, arriving = Random(f"asking {cell.seed}"), Random(f"arriving {cell.seed}")
    gentle = 0.8 * workload.warmup_seconds if cell.warm else 0.0
    load = OpenLoop(cell.rate / workload.turns, workload.variation, gentle)
    clients = Clients(workload.sessions(asking), load, arriving)
    run = FleetRun(settings, read_configuration(cell.policy or None), clients)
    objectives = Objectives(workload.ttft_seconds, workload.tpot_seconds)
    return outcome_of(run.run(), objectives, len(run.servers))
