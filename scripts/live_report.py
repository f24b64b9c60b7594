"""The tables of the live study: orders of policies in real and in virtual time, side by side."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from epp.simulation.laboratory.orders import Agreement, Order, agreement, order_of

LIVE, VIRTUAL = "live", "virtual"

Row = dict[str, Any]
Key = tuple[str, str, int]  # where, policy, seed


@dataclass(frozen=True, slots=True)
class Figure:
    """What policies are ordered by."""

    name: str
    title: str
    higher_is_better: bool
    least: float  # a difference up to this is none, whatever the repeats say
    factor: float = 1.0  # from the unit of an outcome to the one that is shown
    logarithmic: bool = False  # noise grows with the value


FIGURES: Final = (
    Figure("good_share", "good answers, %", True, 0.02, factor=100),
    Figure("ttft_p90", "first token p90, s", False, 0.05, logarithmic=True),
    Figure("seconds_mean", "mean answer, s", False, 0.05, logarithmic=True),
    Figure("hit_rate", "tokens found in caches, %", True, 0.01, factor=100),
)


def shown(figure: Figure, value: float | None) -> str:
    return "-" if value is None else f"{value * figure.factor:.{1 if figure.factor > 1 else 3}f}"


def progress(row: Row) -> str:
    figures = "  ".join(f"{f.title} {shown(f, row[f.name])}" for f in FIGURES)
    busy = f"  CPU {100 * row['machine_cpu_share']:.0f} %" if row["where"] == LIVE else ""
    return f"{row['policy']} {row['seed']} {row['where']}: {figures}{busy}"


def report(rows: Mapping[Key, Row], policies: Sequence[str], seeds: Sequence[int]) -> Row:
    """Prints the tables, and returns what they say. Exits where a run is missing."""
    wanted = [(w, p, s) for w in (LIVE, VIRTUAL) for p in policies for s in seeds]
    if missing := [key for key in wanted if key not in rows]:
        sys.exit(f"{len(missing)} of {len(wanted)} runs are missing, such as {missing[0]}: `run`")
    figures: Row = {}
    for figure in FIGURES:
        live, virtual = (
            order_of(
                {p: [number(figure, rows[where, p, s]) for s in seeds] for p in policies},
                figure.least,
            )
            for where in (LIVE, VIRTUAL)
        )
        orders, found = {LIVE: live, VIRTUAL: virtual}, agreement(live, virtual)
        print_figure(figure, orders, found)
        figures[figure.name] = summed_up(orders, found)
    machine = machine_of([rows[key] for key in wanted if key[0] == LIVE])
    print_machine(machine)
    return {"figures": figures, **machine}


def machine_of(live: Sequence[Row]) -> Row:
    """The most of all runs, and those in which something was at its limit."""
    return {
        "machine_cpu_share": max(row["machine_cpu_share"] for row in live),
        "cores": {name: max(row["cores"][name] for row in live) for name in live[0]["cores"]},
        "latest_seconds": max(row["latest_seconds"] for row in live),
        "saturated": {
            f"{row['policy']} {row['seed']}": row["saturated"] for row in live if row["saturated"]
        },
    }


def print_machine(machine: Row) -> None:
    cores = ", ".join(f"{name} {used:.2f}" for name, used in machine["cores"].items())
    busy, late = 100 * machine["machine_cpu_share"], 1000 * machine["latest_seconds"]
    print(f"\nCPU at most: {busy:.0f} % of the machine; cores: {cores}.")
    print(f"No request was sent later than {late:.0f} ms after its time.")


def number(figure: Figure, row: Row) -> float:
    """As it is compared: the logarithm where noise grows with the value."""
    value = row[figure.name]
    if value is None:
        sys.exit(f"{row['policy']} {row['seed']} {row['where']}: nothing was served")
    return math.log(value) if figure.logarithmic else float(value)


def print_figure(figure: Figure, orders: Mapping[str, Order], found: Agreement) -> None:
    better = "more" if figure.higher_is_better else "less"
    print(f"\n### {figure.title} ({better} is better)\n")
    print("| policy | live | place | virtual | place |")
    print("|---|---|---|---|---|")
    places = {w: o.places(higher_is_better=figure.higher_is_better) for w, o in orders.items()}
    means, sign = orders[LIVE].means, -1 if figure.higher_is_better else 1
    for name in sorted(means, key=lambda name: sign * means[name]):
        cells = [
            text
            for where, order in orders.items()
            for text in (mean_shown(figure, order.means[name]), str(places[where][name]))
        ]
        print(f"| {name} |", " | ".join(cells), "|")
    noise = ", ".join(f"{where} {noise_shown(figure, o.noise)}" for where, o in orders.items())
    opposed = "; ".join(f"{one} and {other}" for one, other in found.opposed) or "none"
    print(f"\nNoise: {noise}. Pairs: {found.same} the same way round, {found.equal} within noise,")
    print(f"{len(found.opposed)} opposed ({opposed}). Kendall's tau of the means {found.tau:.2f}.")


def mean_shown(figure: Figure, mean: float) -> str:
    return shown(figure, math.exp(mean) if figure.logarithmic else mean)


def noise_shown(figure: Figure, noise: float) -> str:
    if figure.logarithmic:
        return f"{100 * math.expm1(noise):.0f} %"
    return f"{noise * figure.factor:.1f} points"


def summed_up(orders: Mapping[str, Order], found: Agreement) -> Row:
    return {
        "means": {where: dict(order.means) for where, order in orders.items()},
        "noise": {where: order.noise for where, order in orders.items()},
        "same": found.same,
        "equal": found.equal,
        "opposed": [list(pair) for pair in found.opposed],
        "tau": found.tau,
    }


def verdict(summary: Row) -> str:
    """Empty if both orders agree and the machine had time for it."""
    if summary["saturated"]:
        return f"the machine was saturated, so this says nothing: {summary['saturated']}"
    opposed = {name: f["opposed"] for name, f in summary["figures"].items() if f["opposed"]}
    return f"opposed beyond noise: {opposed}" if opposed else ""
