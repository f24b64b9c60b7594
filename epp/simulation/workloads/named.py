"""Workloads by what a user calls them: a name of the catalogue, or `drawn-7`."""

from __future__ import annotations

import re
from functools import lru_cache

from epp.simulation.workloads.catalogue import CATALOGUE, Workload
from epp.simulation.workloads.drawn import drawn_workload

DRAWN = re.compile(r"drawn-(\d{1,9})")


@lru_cache
def workload_named(name: str) -> Workload:
    """Raises ValueError for a name that there is not; it says which there are."""
    if name in CATALOGUE:
        return CATALOGUE[name]
    if found := DRAWN.fullmatch(name):
        return drawn_workload(int(found[1]))
    raise ValueError(
        f"{name!r} is unknown; there are {', '.join(CATALOGUE)}, drawn-1, drawn-2, ..."
    )
