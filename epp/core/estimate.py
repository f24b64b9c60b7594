"""What is learned of servers and traffic. Scorers read it, the estimation room writes it."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

UNKNOWN: Final = -math.inf


@dataclass(slots=True, eq=False)
class ServerEstimate:
    """Of one endpoint. The estimation room is its only writer."""

    prefill_ratio: float = 1.0  # its time for a prefill, divided by the pool's
    decode_ratio: float = 1.0  # its time for a decode, divided by the pool's
    kept_share: float = 1.0  # of cached tokens that the index believes in, those it really has
    awaited_tokens: int = 0  # of prefills whose end will be seen and was not so far
    clear_at: float = UNKNOWN  # monotonic seconds: when the other prefills are taken to be done
    tokens_since_reading: int = 0  # to be computed, of what was placed since the last scrape
    arrivals: int = 0  # requests that were placed there lately
    arrivals_since: float = UNKNOWN  # monotonic seconds: they came from then on


@dataclass(frozen=True, slots=True)
class PromptSample:
    """Lengths of recent prompts, as what a longer queue does to requests still to come."""

    lengths: tuple[float, ...] = ()  # tokens, ascending; bisecting for a float takes half the time
    sums: tuple[float, ...] = (0.0,)  # of the first so many lengths
    squares: tuple[float, ...] = (0.0,)  # of the first so many lengths squared

    def delay(
        self, queue_seconds: float, base_seconds: float, token_seconds: float, stretch: float
    ) -> float:
        """Seconds squared that a queue so long costs later requests while it drains.

        One that arrives every second loses as many seconds altogether. It loses no more than its
        own prefill takes elsewhere, (base + tokens · token) · `stretch`, for there it would go.
        """
        lengths = self.lengths
        many = len(lengths)
        if not many or queue_seconds <= 0.0:
            return 0.0
        queue = queue_seconds / stretch
        at = 0  # prompts that would rather go elsewhere
        if queue > base_seconds + token_seconds * lengths[0]:
            at = bisect_left(lengths, (queue - base_seconds) / token_seconds)
        lost = self.sums[at]
        first = base_seconds * at + token_seconds * lost
        second = (
            base_seconds * base_seconds * at
            + 2.0 * base_seconds * token_seconds * lost
            + token_seconds * token_seconds * self.squares[at]
        )
        rest = (many - at) * queue * queue / 2.0
        return stretch * stretch * (queue * first - second / 2.0 + rest) / many


NO_PROMPTS: Final = PromptSample()


@dataclass(frozen=True, slots=True)
class PoolEstimate:
    """Of all servers together at one moment. A server's ratios say how it differs.

    Rates are per server and second. Only given where at least the prefill is known.
    """

    prefill_seconds: float  # of any prefill, besides its tokens
    prefill_token_seconds: float  # of every token to be computed; above zero
    prefill_samples: float  # what these two rest on; older samples count less
    prefill_learned_at: float  # monotonic seconds of the last sample
    decode_seconds: float = 0.0  # of a mean answer
    decode_slope_seconds: float = 0.0  # more, for every request in flight
    decode_samples: float = 0.0
    decode_learned_at: float = UNKNOWN
    output_tokens: float = 0.0  # of a mean answer; 0 where no server tells
    uncached_tokens: float = 0.0  # of a mean prompt
    residence_seconds: float = 0.0  # from the pick to the end, mean
    arrival_rate: float = 0.0
    finish_rate: float = 0.0
    prompts: PromptSample = NO_PROMPTS

    @property
    def mean_prefill_seconds(self) -> float:
        """Of a prompt like the recent ones, with what of it was cached."""
        return self.prefill_seconds + self.prefill_token_seconds * self.uncached_tokens

    @property
    def hits_per_computed_token(self) -> float:
        """Cached tokens of recent prompts for each one to be computed; 0 while none is known."""
        many = len(self.prompts.lengths)
        if not many or self.uncached_tokens <= 0.0:
            return 0.0
        return max(0.0, self.prompts.sums[many] / many / self.uncached_tokens - 1.0)
