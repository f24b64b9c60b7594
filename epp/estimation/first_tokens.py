"""Whose first tokens a server's counter has counted, where none is seen by itself.

Engines compute prompts first come first served, so each count is of the oldest request that is not
counted yet, whatever else is known of it. Counts of strangers cannot be told from ours: while there
are any, the counter says nothing. Nor where more are counted than were asked for: a request for
several answers has several first tokens.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from epp.core.endpoint import NEVER, EndpointMetrics
from epp.estimation.stay import Stay

STRANGERS: Final = 0.5  # requests of others in flight, smoothed: from here on there are some
MOST_SURPLUS: Final = 0.1  # part of the counts that are of nobody: above it none are believed
SURPLUS_MEMORY: Final = 64.0  # counts
LONGEST_GAP_SECONDS: Final = 5.0  # between two readings, for the second to say when
LONGEST_LINE: Final = 4096  # requests; where nobody reads the counter any more, the oldest leave


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests whose first tokens came between two readings, oldest first."""

    stays: tuple[Stay, ...]
    since: float  # of the reading before, monotonic seconds

    def seconds(self, now: float, first_token_at: float) -> float:
        """For their prefills alone, up to the middle of the time between the readings.

        `first_token_at` is when the prefill before them ended.
        """
        return (self.since + now) / 2.0 - max(self.stays[0].placed_at, first_token_at)


class FirstTokenCounter:
    """Of one server."""

    def __init__(self) -> None:
        self.gap_seconds = math.inf  # between the last two readings; infinity where none says when
        self._line: deque[Stay] = deque(maxlen=LONGEST_LINE)  # placed and not counted so far
        self._count = 0.0
        self._read_at = NEVER
        self._surplus = 0.0  # smoothed part of the counts that are of nobody

    def placed(self, stay: Stay) -> None:
        if self._read_at != NEVER:
            self._line.append(stay)

    def left(self, stay: Stay) -> None:
        """It ended without an answer, or elsewhere, and may never be counted."""
        if stay in self._line:
            self._line.remove(stay)

    def read(self, metrics: EndpointMetrics, strangers: float) -> Counted | None:
        """What this reading counts and the one before did not; None if it says nothing new."""
        at, before = metrics.first_tokens_read_at, self._read_at
        if at <= before or at == NEVER:
            return None
        more = int(metrics.first_tokens - self._count)
        begins = before == NEVER or more < 0 or strangers >= STRANGERS
        gap = math.inf if begins else at - before
        self._read_at, self._count = at, metrics.first_tokens
        self.gap_seconds = gap if gap <= LONGEST_GAP_SECONDS else math.inf
        line = self._line
        if begins:
            # Those whose prefill is over were counted before, as far as anybody knows.
            self._line = deque([stay for stay in line if stay.prefilling], LONGEST_LINE)
            return None
        counted = [line.popleft() for _ in range(min(more, len(line)))]
        if more > 0:
            share = min(1.0, more / SURPLUS_MEMORY)
            self._surplus += share * (1.0 - len(counted) / more - self._surplus)
        if self._surplus > MOST_SURPLUS:
            self.gap_seconds = math.inf
            return None
        while line and line[0].ended_at < before:
            counted.append(line.popleft())  # it must have been counted, as somebody else
        return Counted(tuple(counted), before)
