"""What became of every request of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

LOWEST_GAP_SECONDS = 1e-4
GAPS_PER_DECADE = 50


@dataclass(slots=True)
class Record:
    """One request, in the eyes of its client. Times are seconds of the run."""

    asked_at: float
    prompt_tokens: int
    output_tokens: int
    objective: str = ""
    flow: str = ""
    server: int = -1  # -1 if it was never sent to one
    refusal: str = ""  # reason word
    lost: bool = False  # the server died with it, or could never hold it
    waited_seconds: float = 0.0  # in the picker
    first_token_at: float = math.nan
    ended_at: float = math.nan
    cached_tokens: int = 0  # found in the engine's cache
    expected_cached_tokens: int = 0  # by the picker
    preemptions: int = 0

    @property
    def served(self) -> bool:
        return not math.isnan(self.ended_at) and not self.lost

    @property
    def ttft_seconds(self) -> float:
        return self.first_token_at - self.asked_at

    @property
    def seconds(self) -> float:
        return self.ended_at - self.asked_at

    @property
    def tpot_seconds(self) -> float:
        """Time per output token after the first; 0 for an answer of one token."""
        if self.output_tokens < 2:
            return 0.0
        return (self.ended_at - self.first_token_at) / (self.output_tokens - 1)


class GapHistogram:
    """Inter-token gaps of all requests, in logarithmic buckets of under 5 %."""

    def __init__(self) -> None:
        self.count = 0
        self._buckets: dict[int, int] = {}

    def add(self, seconds: float, count: int = 1) -> None:
        if count:
            ratio = max(seconds, LOWEST_GAP_SECONDS) / LOWEST_GAP_SECONDS
            bucket = int(math.log10(ratio) * GAPS_PER_DECADE)
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count
            self.count += count

    def quantile(self, share: float) -> float:
        """Seconds; NaN if there was none."""
        wanted = share * self.count
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return float(LOWEST_GAP_SECONDS * 10 ** ((bucket + 0.5) / GAPS_PER_DECADE))
        return math.nan


@dataclass(slots=True)
class ServerUse:
    """What one server did in the window, in seconds."""

    role: str = ""
    busy: float = 0.0  # in a step
    prefilling: float = 0.0  # that steps took longer than with their decodes alone
    encoding: float = 0.0  # images
    loading: float = 0.0  # adapters
    kv_cache: float = 0.0  # times the share of the cache that live requests held
    held_up: dict[str, float] = field(default_factory=dict)  # with somebody waiting, by what for


@dataclass(slots=True)
class RunRecords:
    """All of one run. `window` is when the measured requests were asked."""

    window: tuple[float, float]
    requests: list[Record] = field(default_factory=list)
    gaps: GapHistogram = field(default_factory=GapHistogram)
    servers: list[ServerUse] = field(default_factory=list)  # by number
    ended_at: float = 0.0
    output_tokens: int = 0  # that came within the window
    most_waiting: int = 0  # in the picker
