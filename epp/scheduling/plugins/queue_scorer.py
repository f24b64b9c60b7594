"""Prefer endpoints with fewer requests waiting in the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Scorer
from epp.scheduling.ranges import lower_is_better
from epp.scheduling.readings import requests_in_line


@dataclass(frozen=True, slots=True)
class QueueScorer(Scorer):
    """Reads the ledger's estimate, which counts what was placed since the last scrape.

    A pool that was never scraped is told apart by our own requests in flight.
    """

    type_name: ClassVar[str] = "queue-scorer"

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        return lower_is_better(requests_in_line(endpoints))
