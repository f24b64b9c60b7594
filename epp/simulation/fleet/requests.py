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
        "encode_only",
        "encoded",
        "first_token_at",
        "generated",
        "holding",
        "images",
        "keeps_blocks",
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
        # Where the images begin in the prompt, and they.
        self.images: Sequence[tuple[int, Segment]] = ()
        self.answer_key = answer_key  # of the segment that the answer is; 0 if nobody goes on
        self.adapter = adapter
        if self.prompt_tokens < 1 or output_tokens < 1:
            raise ValueError("a prompt and an answer have at least one token")
        if any(segment.image for segment in segments):
            self.images = _images(segments)
        self.encode_only = False  # its images, and nothing else of it
        self.encoded = False  # its images were encoded by other servers
        # Whoever answers has yet to fetch keys and values: see `FleetEngine.let_go`.
        self.keeps_blocks = False
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


def _images(segments: Sequence[Segment]) -> Sequence[tuple[int, Segment]]:
    found: list[tuple[int, Segment]] = []
    begin = 0
    for segment in segments:
        if segment.image:
            found.append((begin, segment))
        begin += segment.tokens
    return found
