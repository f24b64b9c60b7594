"""`epp sim gates`: how the model of engines compares with what is known."""

from __future__ import annotations

import math

import click

from epp.cli.sim import NEEDS
from epp.simulation.laboratory.gates import GATES, Reading


def run_gates() -> None:
    """Figures out of range are shown, and no error: docs/simulation.md says which and why."""
    try:
        from rich.box import SIMPLE
        from rich.console import Console
        from rich.progress import track
        from rich.table import Table
    except ImportError:
        raise click.ClickException(NEEDS) from None
    progress = Console(stderr=True)
    readings: list[Reading] = []
    for gate in track(GATES, "simulating", console=progress, transient=True):
        readings += gate()
    table = Table(box=SIMPLE, pad_edge=False)
    for name in ("gate", "figure"):
        table.add_column(name, no_wrap=True)
    for name in ("simulated", "must be"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("from", no_wrap=True)
    table.add_column("", no_wrap=True)
    for reading in readings:
        ends = _shown(reading.low)
        if reading.low < reading.high:
            ends += f" to {_shown(reading.high)}"
        table.add_row(
            reading.gate,
            reading.what,
            _shown(reading.measured),
            ends,
            reading.source,
            "" if reading.passed else "out of range",
        )
    console = Console()
    console.width = max(console.width, Console(width=500).measure(table).maximum)
    console.print(table)
    out = sum(not reading.passed for reading in readings)
    console.print(f"{len(readings) - out} of {len(readings)} figures are within their range.")


def _shown(figure: float) -> str:
    return f"{figure:.0f}" if 1000 <= abs(figure) < math.inf else f"{figure:.4g}"
