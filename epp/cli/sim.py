"""`epp sim`: what a configuration would do to a fleet, in virtual time."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import orjson

from epp.cli.outputs import writing
from epp.config.build import read_configuration
from epp.config.errors import ConfigError
from epp.simulation.fleet.faults import Fault, parse_fault
from epp.simulation.fleet.servers import Fleet, parse_fleet
from epp.simulation.fleet.transfers import LinkSettings
from epp.simulation.laboratory.candidates import candidates
from epp.simulation.laboratory.capacity import UnknownCapacity, capacity
from epp.simulation.laboratory.cell import Cell
from epp.simulation.laboratory.comparison import compare
from epp.simulation.laboratory.study import ORACLE
from epp.simulation.policies.catalogue import POLICIES, policy
from epp.simulation.workloads.named import workload_named
from epp.simulation.workloads.traces import FORMATS, TraceError, TraceFile, read_trace

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MOST_COLUMNS: Final = 500
NEEDS: Final = "epp sim shows its figures with `rich`: pip install 'epp[lab]'"


def run_sim(
    *,
    config: str,
    comparisons: tuple[str, ...],
    seeds: int,
    first_seed: int,
    plot: str,
    json: str,
    jobs: int,
    **conditions: Any,
) -> None:
    """`conditions` are the flags that say who asks what of which servers, see `_cell`."""
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        raise click.ClickException(NEEDS) from None
    if plot and find_spec("matplotlib") is None:
        raise click.ClickException("plots need matplotlib: pip install 'epp[lab]'")
    from epp.simulation.laboratory.plots import plot as draw
    from epp.simulation.laboratory.report import document, table

    cell = _cell(**conditions)
    servers = parsed_fleet(cell.fleet)
    arms = {name: _arm(cell, name, servers) for name in (config, *comparisons)}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("simulating", total=len(arms) * seeds)
        chosen = range(first_seed, first_seed + seeds)
        result = compare(arms, chosen, jobs, on_progress=lambda: progress.advance(task))
    title = f"{title_of(cell)}, {seeds} seed{'' if seeds == 1 else 's'}"
    print_wide(table(result, title), Console())
    if json:
        content = orjson.dumps(document(result, arms), option=orjson.OPT_INDENT_2)
        with writing("--json", json):
            Path(json).write_bytes(content)
    if plot:
        with writing("--plot", plot):
            draw(result, title, Path(plot))


def _arm(cell: Cell, name: str, servers: Fleet) -> Cell:
    if name != ORACLE:
        return replace(cell, policy=policy_text(name, servers))
    if any(servers.roles):
        raise click.UsageError("the oracle knows no roles of servers")
    return replace(cell, oracle=True)


def print_wide(table: Table, console: Console) -> None:
    """In lines as long as they are: a terminal wraps them, or a pager scrolls."""
    console.width = max(
        console.width,
        console.measure(table, options=console.options.update(width=MOST_COLUMNS)).maximum,
    )
    console.print(table)


def _cell(
    *,
    workload: str,
    fleet: str,
    rate: float | None,
    load: float,
    clients: int | None,
    trace: str | None,
    trace_format: str | None,
    speedup: float,
    seconds: float | None,
    ttft_seconds: float | None,
    tpot_seconds: float | None,
    light: bool,
    scrape_seconds: float,
    faults: tuple[str, ...],
    cold: bool,
    max_num_seqs: int,
    kv_transfer_gb_per_second: float,
) -> Cell:
    """What flags say, but for the policy; UsageError where they make no sense."""
    if trace is not None:
        cell = Cell("", fleet, 0.0, "", trace=_trace(trace, trace_format, speedup, seconds))
        parsed_fleet(fleet)
    else:
        cell = cell_of(workload, fleet, rate, load, clients)
    return replace(
        cell,
        faults=_faults(faults, fleet),
        seconds=seconds,
        ttft_seconds=ttft_seconds,
        tpot_seconds=tpot_seconds,
        sees_tokens=not light,
        scrape_seconds=scrape_seconds,
        warm=not cold,
        max_num_seqs=max_num_seqs,
        links=LinkSettings(bytes_per_second=kv_transfer_gb_per_second * 1e9),
    )


def cell_of(
    workload: str, fleet: str, rate: float | None, load: float, clients: int | None
) -> Cell:
    """What flags say; UsageError where they make no sense."""
    try:
        workload_named(workload)
    except ValueError as error:
        raise click.UsageError(f"--workload: {error}") from None
    parsed_fleet(fleet)
    if clients is not None:
        if rate is not None:
            raise click.UsageError("--clients and --rate exclude each other")
        return Cell(workload, fleet, 0.0, "", clients=clients)
    if rate is not None:
        return Cell(workload, fleet, rate, "")
    try:
        return Cell(workload, fleet, load / 100 * capacity(workload, fleet), "")
    except UnknownCapacity as error:
        raise click.UsageError(f"--rate or --clients is needed: {error}") from None


def parsed_fleet(fleet: str) -> Fleet:
    try:
        return parse_fleet(fleet)
    except ValueError as error:
        raise click.UsageError(f"--fleet: {error}") from None


def title_of(cell: Cell) -> str:
    if cell.trace is not None:
        faster = "" if cell.trace.speedup == 1 else f", {cell.trace.speedup:g} times as fast"
        return f"{cell.trace.path} on {cell.fleet}{faster}"
    asked = f"{cell.clients} clients" if cell.clients else f"{cell.rate:g} requests/s"
    return f"{cell.workload} on {cell.fleet}, {asked}"


def _trace(path: str, known: str | None, speedup: float, seconds: float | None) -> TraceFile:
    """Read once before the processes start, so that a mistake in it is told at once."""
    trace = TraceFile(
        path,
        next((found for found in FORMATS if found == known), None),
        speedup,
        math.inf if seconds is None else seconds,
    )
    try:
        read_trace(trace)
    except TraceError as error:
        raise click.UsageError(f"--trace: {error}") from None
    return trace


def _faults(texts: tuple[str, ...], fleet: str) -> tuple[Fault, ...]:
    try:
        faults = tuple(parse_fault(text) for text in texts)
    except ValueError as error:
        raise click.UsageError(f"--fault: {error}") from None
    servers = len(parsed_fleet(fleet).profiles)
    for text, fault in zip(texts, faults, strict=True):
        if not math.isfinite(fault.at_seconds) or not math.isfinite(fault.value):
            raise click.UsageError(f"--fault {text}: a number that is not finite")
        if fault.server >= servers:
            raise click.UsageError(f"--fault {text}: the fleet has servers 0 to {servers - 1}")
    return faults


def policy_text(name: str, fleet: Fleet) -> str:
    """What `epp sim advise` calls so for this fleet, a policy of ours, or a file."""
    named = candidates(fleet)
    if name in named:
        return named[name]
    if name in POLICIES:
        return policy(name)
    path = Path(name)
    if not path.is_file():
        known = ", ".join(dict.fromkeys((*named, *POLICIES, ORACLE)))
        raise click.UsageError(f"{name!r} is no file and no policy; there are {known}")
    try:
        text = path.read_text(encoding="utf-8")
        read_configuration(text)
    except OSError as error:
        raise click.UsageError(f"{name}: {error.strerror or error}") from None
    except (UnicodeDecodeError, ConfigError) as error:
        raise click.UsageError(f"{name}: {error}") from None
    return text
