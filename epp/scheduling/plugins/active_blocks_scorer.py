"""Prefer endpoints with fewer KV blocks to prefill and in use, as Dynamo's router counts them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Scorer
from epp.scheduling.ranges import lower_is_better
from epp.scheduling.readings import active_blocks


@dataclass(frozen=True, slots=True)
class ActiveBlocksScorer(Scorer):
    """Blocks in use are those of all prompts in flight: one that several share counts for each."""

    type_name: ClassVar[str] = "active-blocks-scorer"
    reads_prefix: ClassVar[bool] = True

    overlap_weight: float = 1.0  # of blocks to prefill, in blocks in use; not below zero
    block_size_tokens: int = 16

    def __post_init__(self) -> None:
        if not 0.0 <= self.overlap_weight < math.inf:
            raise ValueError(f"overlapWeight: {self.overlap_weight} is not a number from zero on")
        if self.block_size_tokens <= 0:
            raise ValueError(f"blockSizeTokens: {self.block_size_tokens} is not above zero")

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        return lower_is_better(
            active_blocks(request, endpoints, self.overlap_weight, self.block_size_tokens)
        )
