"""How much of its limits a waiting room uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Fullness:
    """Shares, of which 1 is all."""

    bands: Mapping[int, tuple[float, float]] = field(default_factory=dict)  # requests and bytes
    requests: float | None = None  # of all bands together; None: without a limit
    bytes: float | None = None
