"""Prefer endpoints with fewer requests of ours in flight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Scorer


@dataclass(frozen=True, slots=True)
class ActiveRequestScorer(Scorer):
    type_name: ClassVar[str] = "active-request-scorer"

    idle_threshold: int = 0  # up to so many requests an endpoint counts as idle
    max_busy_score: float = 1.0  # 0 to 1, of the least busy endpoint that is not idle
    request_timeout: str = ""  # accepted, without effect: the ledger loses no request
    in_flight_load_producer_name: str = ""  # accepted: there is one ledger

    def __post_init__(self) -> None:
        if not 0.0 <= self.max_busy_score <= 1.0:
            raise ValueError(f"maxBusyScore: {self.max_busy_score} is not in 0..1")
        if self.idle_threshold < 0:
            raise ValueError(f"idleThreshold: {self.idle_threshold} is below zero")

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        counts = [endpoint.load.requests for endpoint in endpoints]
        most = max(counts)
        return [
            1.0 if count <= self.idle_threshold else (most - count) / most * self.max_busy_score
            for count in counts
        ]
