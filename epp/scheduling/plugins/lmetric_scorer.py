"""Prefer endpoints where new prompt tokens times requests in flight are fewest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Scorer
from epp.scheduling.ranges import lower_is_better
from epp.scheduling.readings import backlogs_times_batches


@dataclass(frozen=True, slots=True)
class LmetricScorer(Scorer):
    """The product of LMetric (arXiv 2603.15202): what is to prefill, by the size of the batch."""

    type_name: ClassVar[str] = "lmetric-scorer"
    reads_prefix: ClassVar[bool] = True

    prefix_match_info_producer_name: str = ""  # accepted: there is one index
    in_flight_load_producer_name: str = ""  # accepted: there is one ledger

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        return lower_is_better(backlogs_times_batches(request, endpoints))
