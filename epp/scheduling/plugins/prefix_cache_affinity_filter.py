"""Stay with the endpoints that have the prompt cached, until others would answer much sooner."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Preference
from epp.scheduling.readings import least_prefilling_tokens, with_prefix_cached


@dataclass(frozen=True, slots=True)
class PrefixCacheAffinityFilter(Preference):
    """All are kept where none has enough cached, or where those that have are too far behind."""

    type_name: ClassVar[str] = "prefix-cache-affinity-filter"
    reads_prefix: ClassVar[bool] = True

    affinity_threshold: float = 0.80  # share of the prompt that is enough; not above 0 keeps all
    exploration_probability: float = 0.0  # 0 to 1, of keeping all
    max_ttft_penalty_ms: float = 18_000.0  # for which the cache is worth waiting
    ttft_source: Literal["prefillThroughput"] = "prefillThroughput"
    peak_prefill_throughput: float = 15_928.0  # tokens per second of one endpoint
    prefix_match_info_producer_name: str = ""  # accepted: there is one index
    in_flight_load_producer_name: str = ""  # accepted: there is one ledger
    latency_prediction_info_producer_name: str = ""  # accepted: nothing predicted is read

    def __post_init__(self) -> None:
        if not self.affinity_threshold <= 1.0:
            raise ValueError(f"affinityThreshold: {self.affinity_threshold} is above 1")
        if not 0.0 <= self.exploration_probability <= 1.0:
            raise ValueError(
                f"explorationProbability: {self.exploration_probability} is not in 0..1"
            )
        if not self.max_ttft_penalty_ms >= 0.0:
            raise ValueError(f"maxTTFTPenaltyMs: {self.max_ttft_penalty_ms} is below zero")
        if not self.peak_prefill_throughput > 0.0:
            raise ValueError(
                f"peakPrefillThroughput: {self.peak_prefill_throughput} is not above zero"
            )

    def prefer(
        self, request: RequestFacts, endpoints: Sequence[Endpoint], rng: random.Random
    ) -> Sequence[Endpoint]:
        cached, threshold = request.cached_tokens, self.affinity_threshold
        if not cached or threshold <= 0.0:
            return endpoints
        if self.exploration_probability and rng.random() < self.exploration_probability:
            return endpoints
        sticky = with_prefix_cached(endpoints, cached, request.prefix_tokens, threshold)
        if not sticky or len(sticky) == len(endpoints):
            return endpoints
        kept = set(sticky)
        others = [endpoint for endpoint in endpoints if endpoint not in kept]
        behind_tokens = least_prefilling_tokens(sticky) - least_prefilling_tokens(others)
        behind_ms = behind_tokens / self.peak_prefill_throughput * 1000.0
        return endpoints if behind_ms > self.max_ttft_penalty_ms else sticky
