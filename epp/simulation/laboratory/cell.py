"""Runs by name: a workload, a fleet, a load, a policy and a seed make one outcome."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from epp.config.build import read_configuration
from epp.simulation.fleet.clients import Clients
from epp.simulation.fleet.faults import Fault
from epp.simulation.fleet.outcome import Objectives, Outcome, outcome_of
from epp.simulation.fleet.run import FleetRun
from epp.simulation.fleet.servers import FleetSettings, parse_fleet
from epp.simulation.fleet.settings import RunSettings
from epp.simulation.fleet.transfers import LinkSettings
from epp.simulation.workloads.arrivals import ClosedLoop, OpenLoop, Timed
from epp.simulation.workloads.catalogue import Workload
from epp.simulation.workloads.named import workload_named
from epp.simulation.workloads.traces import TraceFile, read_trace

TRACE_OBJECTIVES = Objectives(2.0, 0.1)
TRACE_DRAIN_SECONDS = 120.0


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
    warmup_seconds: float | None = None  # from the start on, not measured; None: the workload's
    max_num_seqs: int = 256  # requests that a server runs at a time
    links: LinkSettings = LinkSettings()
    clients: int = 0  # in place of the rate: each asks when its last answer has ended
    trace: TraceFile | None = None  # in place of workload and rate; from cold caches
    seconds: float | None = None  # that are measured; None is what the workload says
    ttft_seconds: float | None = None  # objectives; None is what the workload says
    tpot_seconds: float | None = None
    oracle: bool = False  # who knows all decides, in place of the policy


def simulate(cell: Cell) -> Outcome:
    """Raises TraceError, and ValueError for a workload, a fleet or a fault that there is not."""
    settings, clients = prepared(cell)
    run = FleetRun(settings, read_configuration(cell.policy or None), clients)
    return outcome_of(run.run(), objectives_of(cell), len(run.servers))


def prepared(cell: Cell) -> tuple[RunSettings, Clients]:
    """How it is run, and who asks what when: the same for equal seeds, whatever the policy.

    Raises what `simulate` raises.
    """
    servers = parse_fleet(cell.fleet)
    fleet = FleetSettings(
        servers.profiles,
        roles=servers.roles,
        max_num_seqs=cell.max_num_seqs,
        links=cell.links,
    )
    settings = RunSettings(
        fleet,
        scrape_seconds=cell.scrape_seconds,
        sees_tokens=cell.sees_tokens,
        oracle=cell.oracle,
        faults=cell.faults,
        seed=cell.seed,
    )
    if cell.trace is not None:
        return _replayed(cell.trace, settings)
    return _generated(cell, workload_named(cell.workload), settings)


def objectives_of(cell: Cell) -> Objectives:
    if cell.trace is None:
        workload = workload_named(cell.workload)
        usual = Objectives(workload.ttft_seconds, workload.tpot_seconds)
    else:
        usual = TRACE_OBJECTIVES
    ttft, tpot = cell.ttft_seconds, cell.tpot_seconds
    return Objectives(
        usual.ttft_seconds if ttft is None else ttft,
        usual.tpot_seconds if tpot is None else tpot,
    )


def _generated(
    cell: Cell, workload: Workload, settings: RunSettings
) -> tuple[RunSettings, Clients]:
    if workload.adapters:
        fleet = replace(settings.fleet, adapter_load_seconds=0.03, adapter_first_load_seconds=0.8)
        settings = replace(settings, fleet=fleet)
    warmup = workload.warmup_seconds if cell.warmup_seconds is None else cell.warmup_seconds
    settings = replace(
        settings,
        warmup_seconds=warmup if cell.warm else 0.0,
        window_seconds=workload.window_seconds if cell.seconds is None else cell.seconds,
        drain_seconds=workload.drain_seconds,
    )
    # Equal seeds ask the same at the same times, whatever the policy does.
    asking, arriving = Random(f"asking {cell.seed}"), Random(f"arriving {cell.seed}")
    gentle = 0.8 * settings.warmup_seconds
    load: OpenLoop | ClosedLoop
    if cell.clients:
        load = ClosedLoop(cell.clients, gentle)
    else:
        load = OpenLoop(cell.rate / workload.turns, workload.variation, gentle)
    return settings, Clients(workload.sessions(asking), load, arriving)


def _replayed(trace: TraceFile, settings: RunSettings) -> tuple[RunSettings, Clients]:
    requests = read_trace(trace)
    last = requests[-1].at_seconds
    settings = replace(
        settings,
        warmup_seconds=0.0,
        window_seconds=max(1.0, last * (1 + 1e-9) + 1e-6),  # the last one is asked within
        drain_seconds=TRACE_DRAIN_SECONDS,
    )
    load = Timed(tuple(request.at_seconds for request in requests))
    return settings, Clients([(request.turn,) for request in requests], load, Random(0))
