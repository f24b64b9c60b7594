"""Prefer endpoints that hold more of the prompt in their prefix cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Scorer
from epp.scheduling.readings import cached_shares


@dataclass(frozen=True, slots=True)
class PrefixCacheScorer(Scorer):
    type_name: ClassVar[str] = "prefix-cache-scorer"
    reads_prefix: ClassVar[bool] = True

    match_length_weight: float = 0.0  # 0 to 1, share of the absolute length in the score
    match_length_scale_tokens: int = 8192  # a match of this length counts as full
    prefix_match_info_producer_name: str = ""  # accepted: there is one index

    def __post_init__(self) -> None:
        if not 0.0 <= self.match_length_weight <= 1.0:
            raise ValueError(f"matchLengthWeight: {self.match_length_weight} is not in 0..1")
        if self.match_length_scale_tokens <= 0:
            raise ValueError(
                f"matchLengthScaleTokens: {self.match_length_scale_tokens} is not above zero"
            )

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        total, cached = request.prefix_tokens, request.cached_tokens
        if not total or not cached:
            return [0.0] * len(endpoints)
        weight = self.match_length_weight
        if not weight:
            return cached_shares(endpoints, cached, total)
        matches = [cached.get(endpoint, 0) for endpoint in endpoints]
        scale = self.match_length_scale_tokens
        return [
            weight * min(1.0, match / scale) ** 2 + (1.0 - weight) * match / total
            for match in matches
        ]
