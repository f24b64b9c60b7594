"""A request on its way through a simulated fleet: what is asked, and what became of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from epp.simulation.fleet.kv_cache import Holding
from epp.simulation.fleet.segments import Chain, Segment


class FleetRequest:
    """Times are seconds of the run, NaN before they happen. The engine writes the last group."""

    __slots__ = (
        "adapter",
        "answer_key",
        "arrived_at",
        "base",
        "cached_tokens",
        "chain",
        "computed",
        "first_token_at",
        "generated",
        "holding",
        "last_token_at",
        "output_tokens",
        "preemptions",
        "prompt_tokens",
        "received_tokens",
        "scheduled_at",
        "segments",
        "serial",
    )

    def __init__(
        self,
        segments: Sequence[Segment],
        output_tokens: int,
        answer_key: int = 0,
        adapter: str = "",
    ) -> None:
        self.segments = segments
        self.prompt_tokens = sum(segment.tokens for segment in segments)
        self.output_tokens = output_tokens
        self.answer_key = answer_key  # of the segment that the answer is; 0 if nobody goes on
        self.adapter = adapter
        if self.prompt_tokens < 1 or output_tokens < 1:
            raise ValueError("a prompt and an answer have at least one token")
        # Of the prompt, that another server computed and sent here. A preemption loses them.
        self.received_tokens = 0
        self.arrived_at = math.nan  # at the engine
        self.scheduled_at = math.nan
        self.first_token_at = math.nan
        self.last_token_at = math.nan
        self.cached_tokens = 0  # found in the cache when first admitted
        self.preemptions = 0
        # The engine's own. While it decodes, `generated` and `computed` are those of its start.
        self.generated = 0
        self.computed = 0
        self.base = 0
        self.serial = 0
        self.chain: Chain | None = None  # made when first looked up
        self.holding: Holding | None = None
