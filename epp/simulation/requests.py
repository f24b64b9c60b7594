"""One generation request as the engine sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class EngineRequest:
    """The first group of fields is what is asked; the rest is written by the engine alone.

    Times are seconds on the engine's clock, NaN before they happen.
    """

    request_id: str
    prompt_tokens: int
    max_output_tokens: int
    stop_after_tokens: int | None = None  # where the model itself would end; None is never
    block_hashes: Sequence[int] = ()  # chain over the full blocks of prompt and answer
    adapter: str = ""
    # Of the prompt, that another server computed and sent here. A preemption loses them.
    received_tokens: int = 0

    output_tokens: int = field(init=False)  # tokens that it will generate
    arrived_at: float = field(init=False, default=math.nan)
    scheduled_at: float = field(init=False, default=math.nan)
    first_token_at: float = field(init=False, default=math.nan)
    last_token_at: float = field(init=False, default=math.nan)
    computed_tokens: int = field(init=False, default=0)
    generated_tokens: int = field(init=False, default=0)
    cached_tokens: int = field(init=False, default=0)  # found in the cache when first admitted
    preemptions: int = field(init=False, default=0)
    blocks: list[int] = field(init=False, default_factory=list)
    stored_blocks: int = field(init=False, default=0)
    aborted: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        if self.prompt_tokens < 1 or self.max_output_tokens < 1:
            raise ValueError(f"{self.request_id}: a prompt and an answer have at least one token")
        stop = self.stop_after_tokens
        self.output_tokens = (
            self.max_output_tokens if stop is None else max(1, min(stop, self.max_output_tokens))
        )

    @property
    def finish_reason(self) -> str:
        """The OpenAI word: `stop` if the model ends by itself, `length` at the limit."""
        stop = self.stop_after_tokens
        return "stop" if stop is not None and stop <= self.max_output_tokens else "length"

    @property
    def known_tokens(self) -> int:
        """Prompt and answer so far: what a preempted request has to compute again."""
        return self.prompt_tokens + self.generated_tokens

    @property
    def done(self) -> bool:
        return self.aborted or self.generated_tokens >= self.output_tokens
