"""How many requests per second a fleet can take of a workload: what loads are percentages of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


class UnknownCapacity(Exception):
    """Nobody has measured this workload on this fleet; the message names both."""


# Requests per second at which about nine of ten answers of a good policy meet the workload's
# objectives, found with `scripts/find_capacity.py` and rounded.
CAPACITIES: Final[Mapping[str, Mapping[str, float]]] = {
    "8x32b-h100-tp2": {
        "b2b-saas": 23.0,
        "tiered": 5.4,
        "zipf": 94.0,
        "chat": 33.0,
        "code-generation": 1.6,
        "rag": 5.0,
        "longmix": 42.0,
        "azure-conversation": 42.0,
        "bursts": 36.0,
        "reasoning": 10.0,
        "lora": 76.0,
        "priorities": 50.0,
    },
    "4x8b-h100+4x8b-a100": {
        "b2b-saas": 34.0,
        "tiered": 8.8,
        "zipf": 100.0,
        "chat": 44.0,
        "code-generation": 1.8,
        "rag": 5.8,
        "longmix": 56.0,
        "azure-conversation": 60.0,
        "bursts": 56.0,
        "reasoning": 14.0,
        "lora": 92.0,
        "priorities": 60.0,
    },
}


def capacity(workload: str, fleet: str) -> float:
    """Raises UnknownCapacity."""
    found = CAPACITIES.get(fleet, {}).get(workload)
    if found is None:
        raise UnknownCapacity(f"the capacity of {fleet} for {workload} was never measured")
    return found
