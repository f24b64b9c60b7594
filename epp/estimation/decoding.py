"""How fast a server decodes, as its counter of generated tokens shows from scrape to scrape.

It tells that seconds after the first request, where answers must end first to tell it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from epp.core.endpoint import NEVER, EndpointMetrics

LEAST_SECONDS: Final = 1.0  # of a window: steps of an engine are short in it
LONGEST_GAP_SECONDS: Final = 5.0  # between scrapes: who ran meanwhile is not known


@dataclass(frozen=True, slots=True)
class Progress:
    """What our requests have had one server do. All but what is pending only ever grows."""

    prefilled: float  # prompt tokens
    pending: int  # prompt tokens
    placed: int  # requests
    loads: int  # of adapters, the pending ones included
    pending_loads: int


@dataclass(frozen=True, slots=True)
class Window:
    """What one server did between two scrapes."""

    seconds: float
    tokens: float  # generated
    running: float  # mean requests in the batch; 0 if at some time there were none
    prefilled: float  # prompt tokens computed meanwhile, of our requests
    pending: int  # prompt tokens to be computed, the most at the readings in it
    placed: int  # our requests that came meanwhile
    loads: int  # of adapters, that were pending or began: the server stood still meanwhile


class Decoding:
    """The counter of one server. A window that a restart or a gap cuts is dropped."""

    def __init__(self) -> None:
        self._last: EndpointMetrics | None = None
        self._began_at = NEVER
        self._began_with = 0.0  # tokens
        self._began = Progress(0.0, 0, 0, 0, 0)
        self._pending = 0
        self._request_seconds = 0.0
        self._busy = False  # requests ran at every reading

    def read(self, metrics: EndpointMetrics, progress: Progress) -> Window | None:
        """The window that this reading ends."""
        at = metrics.generated_tokens_read_at
        last = self._last
        if at == NEVER or at != metrics.running_read_at:
            return None
        if last is None:
            self._begin(metrics, progress)
            return None
        gap = at - last.generated_tokens_read_at
        if gap <= 0.0:
            return None
        if gap > LONGEST_GAP_SECONDS or metrics.generated_tokens < last.generated_tokens:
            self._begin(metrics, progress)
            return None
        self._last = metrics
        self._pending = max(self._pending, progress.pending)
        self._request_seconds += gap * (last.running + metrics.running) / 2.0
        self._busy = self._busy and metrics.running > 0
        seconds = at - self._began_at
        if seconds < LEAST_SECONDS:
            return None
        began = self._began
        window = Window(
            seconds,
            metrics.generated_tokens - self._began_with,
            self._request_seconds / seconds if self._busy else 0.0,
            progress.prefilled - began.prefilled,
            self._pending,
            progress.placed - began.placed,
            progress.loads - began.loads + began.pending_loads,
        )
        self._begin(metrics, progress)
        return window

    def _begin(self, metrics: EndpointMetrics, progress: Progress) -> None:
        self._last = metrics
        self._began_at = metrics.generated_tokens_read_at
        self._began_with = metrics.generated_tokens
        self._began = progress
        self._pending = progress.pending
        self._request_seconds = 0.0
        self._busy = metrics.running > 0
