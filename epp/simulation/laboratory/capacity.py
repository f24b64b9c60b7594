"""How many requests per second a fleet can take of a workload: what loads are percentages of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


class UnknownCapacity(Exception):
    """Nobody has measured this workload on this fleet; the message names both."""


# Requests per second at which nine of ten answers of the best policy are good, found with
# `scripts/find_capacity.py`.
CAPACITIES: Final[Mapping[str, Mapping[str, float]]] = {}


def capacity(workload: str, fleet: str) -> float:
    """Raises UnknownCapacity."""
    found = CAPACITIES.get(fleet, {}).get(workload)
    if found is None:
        raise UnknownCapacity(f"the capacity of {fleet} for {workload} was never measured")
    return found
