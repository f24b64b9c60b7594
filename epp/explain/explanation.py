"""A decision record in numbers: what each step removed, each scorer's part, what would flip it.

Nothing is rounded, so that a replay can be compared to the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from epp.core.decision import DecisionRecord, StageRecord, Step
from epp.core.endpoint import Endpoint

MAX_RUNNERS_UP: Final = 5


Run = DecisionRecord | StageRecord  # what one profile came to


def explanation(record: DecisionRecord) -> dict[str, Any]:
    """JSON-able. Of a record with a pick; `stages` are the profiles beside the one that decodes."""
    return {
        "profile": record.profile,
        "handler": record.handler,
        **_of_run(record),
        "stages": [
            {
                "role": stage.role.value,
                "profile": stage.profile,
                "skip": "" if stage.skip is None else stage.skip.value,
                **_of_run(stage),
            }
            for stage in record.stages
        ],
    }


def _of_run(record: Run) -> dict[str, Any]:
    order = ranked(record)
    picked = record.picked[0] if record.picked else None
    first = next((n for n, e in enumerate(record.candidates) if e is picked), None)
    tie = [] if first is None else _tie(record, order, first)
    return {
        "picked": [endpoint.authority for endpoint in record.picked],
        "candidates": [_candidate(record, n) for n in order],
        "tie": [record.candidates[n].authority for n in tie],
        "cached_tokens": record.cached_tokens,
        **({} if first is None else _flips(record, order, first)),
    }


def stepped(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """What each step left and whom it removed, by name."""
    shown: list[dict[str, Any]] = []
    before: Sequence[Endpoint] = steps[0][1] if steps else ()
    for name, left in steps:
        kept = set(left)
        removed = [_names(endpoint) for endpoint in before if endpoint not in kept]
        shown.append({"step": name, "left": len(left), "removed": removed})
        before = left
    return shown


def ranked(record: Run) -> list[int]:
    """Positions of the candidates, the best total first, equal ones in their order."""
    return sorted(range(len(record.totals)), key=lambda n: -record.totals[n])


def counted(score: float) -> float:
    """A score as it counts: within 0 to 1, NaN as 0."""
    return min(score, 1.0) if score >= 0.0 else 0.0


def _candidate(record: Run, n: int) -> dict[str, Any]:
    endpoint = record.candidates[n]
    return {
        **_names(endpoint),
        "total": record.totals[n],
        "scores": {
            name: {
                "raw": scores[n],
                "weight": record.weights.get(name, 1.0),
                "weighted": record.weights.get(name, 1.0) * counted(scores[n]),
            }
            for name, scores in record.scores.items()
        },
    }


def _names(endpoint: Endpoint) -> dict[str, Any]:
    return {"endpoint": endpoint.authority, "name": f"{endpoint.namespace}/{endpoint.name}"}


def _tie(record: Run, order: Sequence[int], first: int) -> list[int]:
    """Those with the total of the pick, if it is not alone."""
    equal = [n for n in order if record.totals[n] == record.totals[first]]
    return equal if len(equal) > 1 else []


def _flips(record: Run, order: Sequence[int], first: int) -> dict[str, Any]:
    others = [n for n in order if n != first]
    if not others:
        return {"margin": None, "runners_up": [], "weights": {}}
    return {
        "margin": record.totals[first] - record.totals[others[0]],
        "runners_up": [_raw_changes(record, first, n) for n in others[:MAX_RUNNERS_UP]],
        "weights": {name: _weight_changes(record, first, others, name) for name in record.scores},
    }


def _raw_changes(record: Run, first: int, other: int) -> dict[str, Any]:
    """The raw value, by scorer, with which another candidate would be level with the pick.

    All else as it is; None where no value from 0 to 1 would do.
    """
    margin = record.totals[first] - record.totals[other]
    needed: dict[str, float | None] = {}
    for name, scores in record.scores.items():
        weight = record.weights.get(name, 1.0)
        value = counted(scores[other]) + margin / weight if weight else math.inf
        needed[name] = value if 0.0 <= value <= 1.0 else None
    return {"endpoint": record.candidates[other].authority, "margin": margin, "raw": needed}


def _weight_changes(record: Run, first: int, others: Sequence[int], name: str) -> dict[str, Any]:
    """The nearest weights of a scorer, lower and higher, with which another would be level."""
    scores, weight = record.scores[name], record.weights.get(name, 1.0)
    lower: tuple[float, int] | None = None
    higher: tuple[float, int] | None = None
    for n in others:
        gain = counted(scores[first]) - counted(scores[n])  # of the pick, for each unit of weight
        if not gain:
            continue
        level = weight - (record.totals[first] - record.totals[n]) / gain
        if gain > 0.0 and 0.0 <= level <= weight and (lower is None or level > lower[0]):
            lower = (level, n)
        elif gain < 0.0 and weight <= level < math.inf and (higher is None or level < higher[0]):
            higher = (level, n)
    return {
        "lower": None if lower is None else _level(record, lower),
        "higher": None if higher is None else _level(record, higher),
    }


def _level(record: Run, found: tuple[float, int]) -> dict[str, Any]:
    return {"weight": found[0], "endpoint": record.candidates[found[1]].authority}
