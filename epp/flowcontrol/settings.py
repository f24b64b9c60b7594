"""Limits and budgets of waiting. Names follow the `flowControl` block of the config document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Fairness(StrEnum):
    """Whose turn it is among the flows of one priority."""

    GLOBAL_STRICT = "global-strict-fairness-policy"  # whoever comes first in the ordering
    ROUND_ROBIN = "round-robin-fairness-policy"  # each flow in turn


class Ordering(StrEnum):
    """Who comes first within a flow."""

    FCFS = "fcfs-ordering-policy"
    # Earliest deadline first: every request has the same time to wait, so this is FCFS.
    EDF = "edf-ordering-policy"
    SLO_DEADLINE = "slo-deadline-ordering-policy"  # whose first token is due first


@dataclass(frozen=True, slots=True)
class BandSettings:
    """Limits of the requests that wait at one priority."""

    max_requests: int = 5000
    max_bytes: int = 1_000_000_000  # of request bodies
    fairness: Fairness = Fairness.GLOBAL_STRICT
    ordering: Ordering = Ordering.FCFS


@dataclass(frozen=True, slots=True)
class FlowControlSettings:
    max_requests: int = 0  # over all bands; 0 is unlimited
    max_bytes: int = 0  # over all bands; 0 is unlimited
    request_ttl_seconds: float = 60.0  # while the pool has endpoints; 0 never expires
    no_endpoint_ttl_seconds: float = 60.0  # while it has none; 0 never expires
    max_wait_seconds: float = 600.0  # whatever the budgets say, no request waits longer
    waits_for_endpoints: bool = False  # else an empty pool is a refusal at once
    sheddable_waits: bool = False  # else a negative priority that cannot be placed is refused
    default_band: BandSettings = BandSettings()
    default_negative_band: BandSettings = BandSettings()
    bands: Mapping[int, BandSettings] = field(default_factory=dict)  # by priority

    @property
    def budgets(self) -> tuple[float, float, float]:
        """All that deadlines are made of."""
        return (self.request_ttl_seconds, self.no_endpoint_ttl_seconds, self.max_wait_seconds)

    @property
    def all_bands(self) -> tuple[BandSettings, BandSettings, Mapping[int, BandSettings]]:
        return (self.default_band, self.default_negative_band, self.bands)

    def band(self, priority: int) -> BandSettings:
        template = self.default_negative_band if priority < 0 else self.default_band
        return self.bands.get(priority, template)
