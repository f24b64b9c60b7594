"""`epp sim advise`: which configuration to run, and what the fleet runs out of."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import orjson

from epp.cli.outputs import writing
from epp.cli.sim import NEEDS, cell_of, parsed_fleet, policy_text, print_wide, title_of
from epp.simulation.laboratory.advice import Advice, advise
from epp.simulation.laboratory.bottleneck import REMEDIES, Resource
from epp.simulation.laboratory.candidates import candidates
from epp.simulation.laboratory.cell import Cell
from epp.simulation.laboratory.statistics import Estimate

FEW_GOOD = 0.5


def run_advise(
    *,
    config: str,
    workload: str,
    fleet: str,
    rate: float | None,
    load: float,
    clients: int | None,
    light: bool,
    budget_seconds: float,
    json: str,
    jobs: int,
) -> None:
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        raise click.ClickException(NEEDS) from None

    cell = replace(cell_of(workload, fleet, rate, load, clients), sees_tokens=not light)
    servers = parsed_fleet(fleet)
    documents = candidates(servers)
    if config not in documents:
        documents[config] = policy_text(config, servers)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"{len(documents)} configurations", total=1.0)
        advice = advise(
            cell,
            config,
            documents,
            clock=time.monotonic,
            budget_seconds=budget_seconds,
            jobs=jobs,
            on_progress=lambda share: progress.update(task, completed=share),
        )
    console = Console()
    print_wide(_table(advice, title_of(cell)), console)
    for line in said(advice):
        console.print(line, highlight=False, soft_wrap=True)
    text = documents[advice.advised]
    if advice.advised != config:
        console.print(f"\n[dim]# {advice.advised}[/dim]", highlight=False)
        console.print(text or "# the built-in default: no document", highlight=False, markup=False)
    if json:
        content = orjson.dumps(document(advice, cell, documents), option=orjson.OPT_INDENT_2)
        with writing("--json", json):
            Path(json).write_bytes(content)


def said(advice: Advice) -> list[str]:
    """The advice in sentences."""
    scarce = advice.bottleneck
    if scarce.resource is Resource.NOTHING:
        lines = [f"Bottleneck: none; {REMEDIES[scarce.resource]}."]
    else:
        lines = [
            f"Bottleneck: {scarce.resource.value}, {100 * scarce.share:.0f} % of the servers' "
            f"time. What helps there: {REMEDIES[scarce.resource]}."
        ]
    seeds = len(advice.final_round.seeds)
    good = advice.final_round.figure(advice.advised, "good_share").mean
    if good < FEW_GOOD:
        lines.append(f"The load is too high: {100 * good:.0f} % of the answers are good at best.")
    if advice.best == advice.present:
        lines.append(f"Keep {advice.present}: no other was better in the search.")
    elif advice.proven:
        lines.append(
            f"Run {advice.best} in place of {advice.present}: {_gain(advice)}, "
            f"95 % interval of {seeds} fresh seeds, paired."
        )
    else:
        lines.append(
            f"Keep {advice.present}: the best other, {advice.best}, is not shown to be better: "
            f"{_gain(advice)} in {seeds} fresh seeds."
        )
    return lines


def _gain(advice: Advice) -> str:
    gain = advice.gain
    if advice.figure == "good_share":
        return f"{100 * gain.mean:+.1f} ± {100 * gain.half_width:.1f} points of good answers"
    return f"a mean answer is {gain.mean:+.2f} ± {gain.half_width:.2f} s sooner"


def _table(advice: Advice, title: str) -> Any:
    """One run of every candidate; present and best with their intervals."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False)
    table.add_column("")
    for name in ("good %", "first token p90 s", "per token p90 ms", "answer mean s", "runs"):
        table.add_column(name, justify="right")
    first, final = advice.first_round, advice.final_round
    for arm in sorted(first.outcomes, key=lambda arm: -first.figure(arm, "good_share").mean):
        source = final if arm in final.outcomes else first
        cells = [
            _cell(source.figure(arm, name), factor, decimals)
            for name, factor, decimals in (
                ("good_share", 100, 1),
                ("ttft_p90", 1, 3),
                ("tpot_p90", 1000, 1),
                ("seconds_mean", 1, 2),
            )
        ]
        style = "bold" if arm == advice.advised else None
        table.add_row(arm, *cells, str(len(source.seeds)), style=style)
    return table


def _cell(figure: Estimate, factor: int, decimals: int) -> str:
    if figure.mean != figure.mean:
        return "-"
    mean = f"{factor * figure.mean:.{decimals}f}"
    if figure.half_width != figure.half_width:
        return mean
    return f"{mean} ± {factor * figure.half_width:.{decimals}f}"


def document(advice: Advice, cell: Cell, documents: dict[str, str]) -> dict[str, Any]:
    """Everything, JSON-able."""
    from epp.simulation.laboratory.report import document as of

    def arms(names: dict[str, Any]) -> dict[str, Cell]:
        return {name: replace(cell, policy=documents[name]) for name in names}

    first, final = advice.first_round, advice.final_round
    return {
        "version": 1,
        "present": advice.present,
        "best": advice.best,
        "advised": advice.advised,
        "document": documents[advice.advised],
        "compared_by": advice.figure,
        "gain": {"mean": advice.gain.mean, "half_width": advice.gain.half_width},
        "proven": advice.proven,
        "bottleneck": {
            "resource": advice.bottleneck.resource.value,
            "share": advice.bottleneck.share,
        },
        "search": of(first, arms(first.outcomes)),
        "proof": of(final, arms(final.outcomes)),
    }
