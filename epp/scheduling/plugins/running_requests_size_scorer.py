"""Prefer endpoints that run fewer requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Scorer
from epp.scheduling.ranges import lower_is_better


@dataclass(frozen=True, slots=True)
class RunningRequestsSizeScorer(Scorer):
    """Running now is all that is there, ours and foreign, less what is estimated to wait."""

    type_name: ClassVar[str] = "running-requests-size-scorer"

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        loads = [endpoint.load for endpoint in endpoints]
        return lower_is_better([load.requests + load.foreign - load.waiting for load in loads])
