"""Scores from a range of loads."""

from __future__ import annotations


def lower_is_better(loads: list[float]) -> list[float]:
    """1 for the least, 0 for the most, linear in between; all 1 where all are equal."""
    least = most = loads[0]
    for load in loads:
        if load < least:
            least = load
        elif load > most:
            most = load
    if least == most:
        return [1.0] * len(loads)
    span = most - least
    return [(most - load) / span for load in loads]
