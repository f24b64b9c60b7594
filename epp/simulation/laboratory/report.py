"""A comparison for people, and for machines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from rich.box import SIMPLE
from rich.table import Table

from epp.simulation.laboratory.cell import Cell
from epp.simulation.laboratory.comparison import Comparison
from epp.simulation.laboratory.statistics import Estimate

# Name of the figure, what it is called, its unit's factor and decimals.
ROWS: Final = (
    ("good_share", "good answers %", 100, 1),
    ("goodput", "good answers/s", 1, 2),
    ("served_share", "served %", 100, 1),
    ("refused_share", "refused %", 100, 1),
    ("ttft_p50", "first token p50 s", 1, 3),
    ("ttft_p90", "first token p90 s", 1, 3),
    ("ttft_p99", "first token p99 s", 1, 2),
    ("tpot_p50", "per output token p50 ms", 1000, 1),
    ("tpot_p90", "per output token p90 ms", 1000, 1),
    ("gap_p99", "between tokens p99 ms", 1000, 0),
    ("seconds_p50", "whole answer p50 s", 1, 2),
    ("seconds_p90", "whole answer p90 s", 1, 2),
    ("seconds_p99", "whole answer p99 s", 1, 2),
    ("output_tokens_per_second", "output tokens/s", 1, 0),
    ("hit_rate", "prefix hit rate %", 100, 1),
    ("preemptions", "preemptions per request", 1, 2),
    ("waited_p99", "waited in the picker p99 s", 1, 2),
    ("imbalance", "busiest server over mean", 1, 2),
    ("fairness", "fairness (Jain)", 1, 3),
    ("prefill_share", "servers compute prompts %", 100, 1),
    ("encoding_share", "servers encode images %", 100, 1),
    ("decode_share", "servers decode %", 100, 1),
    ("kv_cache_usage", "KV cache in use %", 100, 1),
)


def table(comparison: Comparison, title: str) -> Table:
    """A column an arm; after the first, what changed against the first, paired by seed."""
    arms = list(comparison.outcomes)
    shown = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False)
    shown.add_column("", no_wrap=True)
    for arm in arms:
        shown.add_column(arm, justify="right", no_wrap=True)
        if arm != arms[0]:
            shown.add_column(f"minus {arms[0]}", justify="right", style="dim", no_wrap=True)
    for name, label, factor, decimals in ROWS:
        if name == "encoding_share" and not any(comparison.figure(a, name).mean for a in arms):
            continue  # no workload of texts has anything of it
        cells = [label]
        for arm in arms:
            cells.append(_text(comparison.figure(arm, name), factor, decimals))
            if arm != arms[0]:
                change = comparison.difference(arm, arms[0], name)
                cells.append(_text(change, factor, decimals, sign=True))
        shown.add_row(*cells)
    return shown


def document(comparison: Comparison, cells: Mapping[str, Cell]) -> dict[str, Any]:
    """Everything, JSON-able: settings, every run, and the means with their intervals."""
    return {
        "version": 1,
        "seeds": list(comparison.seeds),
        "arms": {
            arm: {
                "cell": asdict(cells[arm]),
                "runs": [_numbers(outcome.as_dict()) for outcome in outcomes],
                "means": {
                    name: _interval(comparison.figure(arm, name)) for name in outcomes[0].as_dict()
                },
            }
            for arm, outcomes in comparison.outcomes.items()
        },
    }


def _text(figure: Estimate, factor: int, decimals: int, *, sign: bool = False) -> str:
    if math.isnan(figure.mean):
        return "-"
    mean = f"{factor * figure.mean:{'+' if sign else ''}.{decimals}f}"
    if math.isnan(figure.half_width):
        return mean
    return f"{mean} ± {factor * figure.half_width:.{decimals}f}"


def _interval(figure: Estimate) -> dict[str, float | None]:
    return _numbers({"mean": figure.mean, "half_width": figure.half_width})


def _numbers(figures: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: None if math.isnan(value) else value for name, value in figures.items()}
