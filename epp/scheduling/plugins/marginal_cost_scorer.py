"""Prefer endpoints where the request costs the least time, that of all other requests included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Scorer
from epp.scheduling.marginal_cost import marginal_costs
from epp.scheduling.ranges import lower_is_better


@dataclass(frozen=True, slots=True)
class MarginalCostScorer(Scorer):
    """Meant to be the only scorer of a profile: it weighs cache, queue and batch by itself."""

    type_name: ClassVar[str] = "marginal-cost-scorer"
    reads_prefix: ClassVar[bool] = True
    reads_costs: ClassVar[bool] = True

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        return lower_is_better(marginal_costs(request, endpoints))
