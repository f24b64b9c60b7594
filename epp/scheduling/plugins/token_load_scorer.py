"""Prefer endpoints with fewer prompt tokens to compute, this request's included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Scorer
from epp.scheduling.readings import room_below, tokens_to_prefill

DEFAULT_THRESHOLD: Final = 4_194_304


@dataclass(frozen=True, slots=True)
class TokenLoadScorer(Scorer):
    """Tokens in flight count until the first token of their answer, where the picker sees it.

    Where it does not, as with Envoy in light mode, they count until the end of the answer.
    """

    type_name: ClassVar[str] = "token-load-scorer"
    reads_prefix: ClassVar[bool] = True

    queue_threshold_tokens: int = DEFAULT_THRESHOLD  # 0 from here on; not above zero: the default
    in_flight_load_producer_name: str = ""  # accepted: there is one ledger

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        threshold = self.queue_threshold_tokens
        loads = tokens_to_prefill(request, endpoints)
        return room_below(loads, threshold if threshold > 0 else DEFAULT_THRESHOLD)
