"""JSON lines of the benchmark as Markdown: a row for a cell, columns for each target."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Cells = dict[str, dict[str, list[Row]]]  # cell -> target -> repeats

FLOOR = "nullepp"
SHORT = "max/900/0"
LIGHT = "light/900/0"


def read(paths: Iterable[Path]) -> Cells:
    cells: Cells = {}
    for path in paths:
        for line in path.read_text().splitlines():
            row: Row = json.loads(line)
            cells.setdefault(row["cell"], {}).setdefault(row["target"], []).append(row)
    return cells


def cost(row: Row) -> float | None:
    """Microseconds of CPU a request; without the idle cost where arrivals are sparse."""
    key = "cpu_us_per_req_net" if row["cell"].startswith(("req", "endpoints")) else "cpu_us_per_req"
    value = row.get(key) if row.get("ok") else None
    return None if value is None else float(value)


def wrong(row: Row) -> int:
    """Requests that got no pick or a wrong answer; a cell that did not run counts as one."""
    refused: dict[str, int] = row.get("refused", {})
    return int(row.get("errors", 0)) + sum(refused.values()) + ("failed" in row)


def middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def microseconds(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ")


def cost_text(rows: list[Row]) -> str:
    """Median and range, and how many requests went wrong: a figure with errors is no figure."""
    known = sorted(value for row in rows if (value := cost(row)) is not None)
    text = microseconds(statistics.median(known)) if known else "-"
    if len(known) > 1:
        text += f" ({microseconds(known[0])}..{microseconds(known[-1])})"
    count = sum(map(wrong, rows))
    return f"{text}, **{count} wrong**" if count else text


def multiple(rows: list[Row], floor: list[Row]) -> str:
    """Ratio of the medians of one run."""
    ours, least = middle(map(cost, rows)), middle(map(cost, floor))
    return f"{ours / least:.1f} x" if ours and least else "-"


def costs(cells: Cells) -> str:
    chosen = {
        name: cells[name]
        for name in cells
        if not name.startswith(("idle", "decision", "endpoints", "overload"))
    }
    targets = sorted({target for by in chosen.values() for target in by}, key=_floor_first)
    if not targets:
        return ""
    against = [target for target in targets if target != FLOOR] if FLOOR in targets else []
    head = [f"{target}, µs" for target in targets] + [f"{target} / {FLOOR}" for target in against]
    lines = [_line("characters / chunks", *head), _rule(len(head))]
    for name, by in chosen.items():
        figures = [cost_text(by[target]) if target in by else "-" for target in targets]
        ratios = [multiple(by.get(target, []), by.get(FLOOR, [])) for target in against]
        lines.append(_line(name, *figures, *ratios))
    for target in against:
        ratio = multiple(cells.get(LIGHT, {}).get(target, []), cells.get(SHORT, {}).get(FLOOR, []))
        if ratio != "-":
            lines += ["", f"{target}, `{LIGHT}`: {ratio} the {FLOOR} of `{SHORT}`."]
    return "CPU per request\n\n" + "\n".join(lines)


def detail(
    title: str, cells: Cells, prefixes: tuple[str, ...], show: Callable[[list[Row]], str]
) -> str:
    chosen = {name: cells[name] for name in cells if name.startswith(prefixes)}
    targets = sorted({target for by in chosen.values() for target in by}, key=_floor_first)
    if not targets:
        return ""
    lines = [_line("cell", *targets), _rule(len(targets))]
    for name, by in chosen.items():
        lines.append(
            _line(name, *(show(by[target]) if target in by else "-" for target in targets))
        )
    return f"{title}\n\n" + "\n".join(lines)


def pick(rows: list[Row]) -> str:
    def quantile(name: str) -> str:
        value = middle((row.get("pick_ms") or {}).get(name) for row in rows)
        return "-" if value is None else f"{value:.2g}" if value < 1 else f"{value:.1f}"

    count = sum(map(wrong, rows))
    return f"{quantile('p50')} / {quantile('p99')}" + (f", **{count} wrong**" if count else "")


def both(rows: list[Row]) -> str:
    return f"{cost_text(rows)}; {pick(rows)}"


def medians(*keys: str) -> Callable[[list[Row]], str]:
    def show(rows: list[Row]) -> str:
        values = (middle(row.get(key) for row in rows) for key in keys)
        return " / ".join("-" if value is None else f"{value:g}" for value in values)

    return show


def classes(rows: list[Row]) -> str:
    """Repeats by their medians."""
    parts = [f"{middle(row.get('goodput_rps') for row in rows) or 0:.1f}/s"]
    for name in rows[0].get("classes", {}):
        of_class = [row["classes"][name] for row in rows if "classes" in row]

        def seconds(key: str, quantile: str, of_class: list[Row] = of_class) -> str:
            value = middle((row.get(key) or {}).get(quantile) for row in of_class)
            return "-" if value is None else f"{value / 1000:.2f}"

        answered = sum(row["ok"] for row in of_class) / sum(row["sent"] for row in of_class)
        text = f"{name} {answered:.0%}, {seconds('answer_ms', 'p50')} / "
        text += seconds("answer_ms", "p99")
        if answered < 1:
            text += f", refused after {seconds('refusal_ms', 'p50')}"
        parts.append(text)
    return "; ".join(parts)


def tables(cells: Cells) -> str:
    loaded = ("max/", "light/", "decision/")
    rates = medians("rps", "cpu_cores", "driver_cores", "rss_peak_mib")
    scraping = medians("idle_cores", "scrapes_per_s", "us_per_scrape", "rss_mib")
    parts = [
        costs(cells),
        detail("Pick ms p50 / p99", cells, (*loaded, "req", "idle-pick/"), pick),
        detail("Requests/s, cores of picker / of driver, MiB at most", cells, loaded, rates),
        detail("By endpoints: CPU µs a request; pick ms p50 / p99", cells, ("endpoints/",), both),
        detail("Overload: served; answered, s p50 / p99", cells, ("overload",), classes),
        detail("Idle: cores, scrapes/s, CPU µs a scrape, MiB", cells, ("idle/",), scraping),
    ]
    return "\n\n".join(part for part in parts if part)


def _floor_first(target: str) -> tuple[bool, str]:
    return (target != FLOOR, target)


def _line(*columns: str) -> str:
    return "| " + " | ".join(columns) + " |"


def _rule(columns: int) -> str:
    return "|---" * (columns + 1) + "|"
