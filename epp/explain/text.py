"""An explanation as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Json = Mapping[str, Any]

MAX_SHOWN: Final = 20  # endpoints in a table or a list


def readable(explained: Json) -> str:
    """Of the JSON of an explanation."""
    return "\n".join(_lines(explained)) + "\n"


def _lines(explained: Json) -> Iterator[str]:
    request, decision = explained["request"], explained["decision"]
    yield _request(request)
    yield _outcome(explained)
    if explained["steps"]:
        yield ""
        yield from _table(["step", "left", "removed"], _steps(explained["steps"]))
    if decision is not None:
        yield from _run(decision)
        for stage in decision["stages"]:
            yield ""
            yield _stage(stage)
            yield from _run(stage)
    if shadows := explained.get("shadows"):
        yield ""
        yield from map(_shadow, shadows)


def _shadow(shadow: Json) -> str:
    """Its tables are in the JSON."""
    name, difference = f"shadow {shadow['profile']}", shadow["cost_difference_seconds"]
    if not shadow["picked"]:
        return f"{name}: no pick: {shadow['problem']}"
    if shadow["agrees"]:
        return f"{name}: the same"
    cost = ""
    if difference is not None:  # in time of all requests together
        word = "cheaper" if difference < 0.0 else "dearer"
        cost = f", predicted {abs(difference) * 1000.0:.3g} ms {word}"
    return f"{name}: {shadow['picked'][0]} instead{cost}"


def _run(run: Json) -> Iterator[str]:
    """What one profile came to."""
    if run["candidates"]:
        yield ""
        yield from _table(*_candidates(run))
        yield from _tie(run)
        yield from _flips(run)


def _stage(stage: Json) -> str:
    name = f"{stage['role']} by profile {stage['profile']}"
    if stage["skip"]:
        return f"{name}: left out: {stage['skip']}"
    return f"{name}: {', '.join(stage['picked'])}"


def _request(request: Json) -> str:
    model, target = request["model"] or "no model", request["target_model"]
    rewritten = f" -> {target}" if target != request["model"] else ""
    objective = f" ({request['objective']})" if request.get("objective") else ""
    parts = [
        f"request {request['request_id']}: {model}{rewritten}",
        f"priority {request['priority']}{objective}",
        f"flow {request['flow']}",
        f"{request['prompt_tokens']} prompt tokens",
    ]
    if request.get("waited_seconds"):
        parts.append(f"waited {request['waited_seconds']:.3f} s")
    if "age_seconds" in request:
        parts.append(f"{request['age_seconds']:.1f} s ago")
    return ", ".join(parts)


def _outcome(explained: Json) -> str:
    outcome, decision = explained["outcome"], explained["decision"]
    match outcome["kind"]:
        case "placed":
            first, *others = decision["picked"]
            then = f", then {', '.join(others)}" if others else ""
            cached = decision["cached_tokens"]
            known = f", which has {cached} of its tokens cached" if cached else ""
            return f"goes to {first}{known}{then}"
        case "waits":
            full = "" if decision else ": no endpoint has room"
            return f"waits{full}; ahead in line: {outcome['ahead']}"
        case "answered":
            return f"is answered by the picker, status {outcome['status']}"
        case _:
            return f"is refused: {outcome['reason']}: {outcome['detail']}"


def _steps(steps: Sequence[Json]) -> list[list[str]]:
    return [
        [s["step"], str(s["left"]), _listed([r["endpoint"] for r in s["removed"]])] for s in steps
    ]


def _candidates(decision: Json) -> tuple[list[str], list[list[str]]]:
    shown = decision["candidates"][:MAX_SHOWN]
    scores = shown[0]["scores"] if shown else {}
    header = ["", "endpoint", "total"]
    header += [f"{name} x {score['weight']:g}" for name, score in scores.items()]
    rows = []
    for candidate in shown:
        picked = candidate["endpoint"] in decision["picked"][:1]
        row = ["*" if picked else "", candidate["endpoint"], f"{candidate['total']:.4g}"]
        row += [f"{s['raw']:.4g} -> {s['weighted']:.4g}" for s in candidate["scores"].values()]
        rows.append(row)
    more = len(decision["candidates"]) - len(shown)
    if more:
        rows.append(["", f"and {more} more"])
    return header, rows


def _tie(decision: Json) -> Iterator[str]:
    if decision["tie"]:
        yield ""
        yield f"{_listed(decision['tie'])} have the same total: one of them was drawn"


def _flips(decision: Json) -> Iterator[str]:
    if not decision.get("runners_up") or decision["tie"]:
        return
    runner_up = decision["runners_up"][0]
    name = runner_up["endpoint"]
    yield ""
    if runner_up["margin"] < 0.0:
        yield f"{name} has a better total, by {-runner_up['margin']:.4g}: the picker draws lots"
        return
    yield f"next is {name}, {runner_up['margin']:.4g} behind; all else as it is, it would be level"
    for scorer, value in runner_up["raw"].items():
        yield f"  with {value:.4g} of {scorer}" if value is not None else f"  not by {scorer} alone"
    for scorer, levels in decision["weights"].items():
        for word, level in levels.items():
            if level is not None:
                at = f"{level['weight']:.4g}"
                yield f"weight of {scorer} {word} than {at}: {level['endpoint']} instead"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MAX_SHOWN
    return ", ".join(names[:MAX_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [
        max(len(row[n]) for row in (header, *rows) if n < len(row)) for n in range(len(header))
    ]
    for row in (header, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        yield "  ".join(cells).rstrip()
