"""`epp sim`: what a configuration would do to a fleet, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import orjson

from epp.config.build import read_configuration
from epp.config.errors import ConfigError
from epp.simulation.fleet.faults import parse_fault
from epp.simulation.fleet.servers import parse_fleet
from epp.simulation.laboratory.capacity import UnknownCapacity, capacity
from epp.simulation.laboratory.cell import Cell
from epp.simulation.laboratory.comparison import compare
from epp.simulation.policies.catalogue import POLICIES, policy
from epp.simulation.workloads.catalogue import CATALOGUE

NEEDS = "epp sim shows its figures with `rich`: pip install 'epp[lab]'"


def run_sim(
    *,
    config: str,
    comparisons: tuple[str, ...],
    workload: str,
    fleet: str,
    rate: float | None,
    load: float,
    seeds: int,
    first_seed: int,
    light: bool,
    scrape_seconds: float,
    faults: tuple[str, ...],
    cold: bool,
    max_num_seqs: int,
    plot: str,
    json: str,
    jobs: int,
) -> None:
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        raise click.ClickException(NEEDS) from None
    from epp.simulation.laboratory.report import document, table

    cell = _cell(workload, fleet, rate, load)
    try:
        cell = replace(cell, faults=tuple(parse_fault(fault) for fault in faults))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    cell = replace(
        cell,
        sees_tokens=not light,
        scrape_seconds=scrape_seconds,
        warm=not cold,
        max_num_seqs=max_num_seqs,
    )
    arms = {name: replace(cell, policy=_policy(name)) for name in (config, *comparisons)}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("simulating", total=len(arms) * seeds)
        chosen = range(first_seed, first_seed + seeds)
        result = compare(arms, chosen, jobs, on_progress=lambda: progress.advance(task))
    title = f"{workload} on {fleet}, {cell.rate:g} requests/s, {seeds} seeds"
    shown = table(result, title)
    console = Console()
    wide = Console(width=500).measure(shown).maximum
    console.width = max(console.width, wide)  # a terminal wraps it, or a pager scrolls
    console.print(shown)
    if json:
        Path(json).write_bytes(orjson.dumps(document(result, arms), option=orjson.OPT_INDENT_2))
    if plot:
        _plot(result, title, plot)


def _plot(result: object, title: str, path: str) -> None:
    from epp.simulation.laboratory.comparison import Comparison

    assert isinstance(result, Comparison)
    try:
        from epp.simulation.laboratory.plots import plot

        plot(result, title, Path(path))
    except ImportError:
        raise click.ClickException("plots need matplotlib: pip install 'epp[lab]'") from None
    except ValueError as error:  # a suffix that is no format
        raise click.UsageError(f"--plot {path}: {error}") from None


def _cell(workload: str, fleet: str, rate: float | None, load: float) -> Cell:
    if workload not in CATALOGUE:
        known = ", ".join(CATALOGUE)
        raise click.UsageError(f"--workload: {workload!r} is unknown; there are {known}")
    try:
        parse_fleet(fleet)
        full = 0.0 if rate is not None else capacity(workload, fleet)
    except ValueError as error:
        raise click.UsageError(f"--fleet: {error}") from None
    except UnknownCapacity as error:
        raise click.UsageError(f"--rate is needed: {error}") from None
    return Cell(workload, fleet, rate if rate is not None else load / 100 * full, "")


def _policy(name: str) -> str:
    """A document of ours by its name, the default, or a file."""
    if name in POLICIES:
        return policy(name)
    if name == "default":
        return ""
    path = Path(name)
    if not path.is_file():
        known = ", ".join(("default", *POLICIES))
        raise click.UsageError(f"{name!r} is no file and no policy; there are {known}")
    text = path.read_text(encoding="utf-8")
    try:
        read_configuration(text)
    except ConfigError as error:
        raise click.UsageError(f"{name}: {error}") from None
    return text
