"""Which prompts a server has still to compute, and when it is taken to be done with them.

Where the first token is seen, that is the end of a prefill. Elsewhere a virtual clock tells it:
the server computes one prompt after the other, each as long as the law says. Whatever shows a
later prompt to be done proves all earlier ones, since engines admit first come first served. Where
the server counts first tokens, what takes longer than from one reading to the next ends when it is
counted, and the clock is put right at every reading.
"""

from __future__ import annotations

import math
from collections import deque

from epp.core.endpoint import Endpoint
from epp.core.estimate import UNKNOWN
from epp.estimation.first_tokens import LONGEST_GAP_SECONDS
from epp.estimation.stay import Stay


class ServerPrefills:
    """Of one server. Writes `awaited_tokens` and `clear_at` of the endpoint's estimate."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.done_tokens = 0.0  # of all prefills that are over, since the first
        self.pending_tokens = 0  # of those that are not
        self.pending_loads = 0  # of adapters, that these wait for
        self.loads = 0  # ever
        self._endpoint = endpoint
        self._clocked: deque[Stay] = deque()
        self._unclocked: deque[Stay] = deque()  # placed before anything was known of the speed
        self._started_at = UNKNOWN  # of the first clocked one
        self._queued_seconds = 0.0  # of all clocked ones
        self._counted_from = math.inf  # seconds of a prefill whose end is counted, at least
        self._counted_until = UNKNOWN  # without another count the clock ends these, too

    @property
    def due_at(self) -> float:
        """When the clock ends the next prefill; infinity if it has none to end."""
        if not self._clocked:
            return math.inf
        seconds = self._clocked[0].prefill_seconds
        due_at = self._started_at + seconds
        return due_at if seconds < self._counted_from else max(due_at, self._counted_until)

    def add(self, stay: Stay, now: float) -> None:
        """`now` is not before `due_at`: what is due has been taken out."""
        self.pending_tokens += stay.uncached_tokens
        stay.loads_before = self.loads - self.pending_loads
        if stay.loads:
            self.loads += 1
            self.pending_loads += 1
        if stay.shows_first_token:
            self._endpoint.estimate.awaited_tokens += stay.uncached_tokens
        elif math.isnan(stay.prefill_seconds):
            self._endpoint.estimate.awaited_tokens += stay.uncached_tokens
            self._unclocked.append(stay)
        else:
            if not self._clocked:
                self._started_at, self._queued_seconds = now, 0.0
            self._clocked.append(stay)
            self._queued_seconds += stay.prefill_seconds
            self._show()

    def others_load(self, stay: Stay) -> bool:
        """Whether the server loaded adapters for others since it came, or was about to."""
        return self.loads - stay.loads_before > int(stay.loads)

    def take_due(self, now: float) -> list[Stay]:
        """Those that the clock says are done."""
        done: list[Stay] = []
        while self._clocked and self.due_at <= now:
            stay = self._clocked.popleft()
            self._started_at += stay.prefill_seconds
            self._queued_seconds -= stay.prefill_seconds
            self._end(stay, done)
        if done:
            self._show()
        return done

    def take_proven(self, order: int, now: float) -> list[Stay]:
        """Those picked before `order` whose end is not seen by itself."""
        return self._take_before(order, now, now)

    def counted(self, order: int, since: float, gap_seconds: float, now: float) -> list[Stay]:
        """The server has counted the first tokens of those picked before `order`, and no others.

        The last of them came after `since`. The next reading comes in about `gap_seconds`.
        """
        done = self._take_before(order, since, now)
        self._counted_from, self._counted_until = gap_seconds, now + LONGEST_GAP_SECONDS
        if self._clocked and (seconds := self._clocked[0].prefill_seconds) >= gap_seconds:
            late = now - self._started_at - seconds
            if late > 0.0:
                self._started_at += late  # it is not done yet
                self._show()
        return done

    def uncounted(self) -> None:
        """The server's counter says nothing of our requests any more."""
        self._counted_from = math.inf

    def _take_before(self, order: int, earliest: float, now: float) -> list[Stay]:
        """The last of them ended between `earliest` and `now`, where the clock has it if it can."""
        done: list[Stay] = []
        while self._unclocked and self._unclocked[0].order < order:
            stay = self._unclocked.popleft()
            self._endpoint.estimate.awaited_tokens -= stay.uncached_tokens
            self._end(stay, done)
        clocked = self._clocked
        if clocked and clocked[0].order < order:
            while clocked and clocked[0].order < order:
                stay = clocked.popleft()
                self._started_at += stay.prefill_seconds
                self._queued_seconds -= stay.prefill_seconds
                self._end(stay, done)
            self._started_at = min(now, max(earliest, self._started_at))
            self._show()
        return done

    def finish(self, stay: Stay, now: float) -> None:
        """Its prompt is computed."""
        self.drop(stay, now)
        self.done_tokens += stay.uncached_tokens

    def drop(self, stay: Stay, now: float) -> None:
        """It left, and nobody knows whether its prompt was computed."""
        self._no_longer_pending(stay)
        if stay.shows_first_token:
            self._endpoint.estimate.awaited_tokens -= stay.uncached_tokens
        elif math.isnan(stay.prefill_seconds):
            self._endpoint.estimate.awaited_tokens -= stay.uncached_tokens
            self._unclocked.remove(stay)
        else:
            if self._clocked[0] is stay:
                self._started_at = now  # the next begins
            self._clocked.remove(stay)
            self._queued_seconds -= stay.prefill_seconds
            self._show()

    def _end(self, stay: Stay, done: list[Stay]) -> None:
        self._no_longer_pending(stay)
        self.done_tokens += stay.uncached_tokens
        done.append(stay)

    def _no_longer_pending(self, stay: Stay) -> None:
        stay.prefilling = False
        self.pending_tokens -= stay.uncached_tokens
        if stay.loads:
            self.pending_loads -= 1

    def _show(self) -> None:
        clear_at = self._started_at + self._queued_seconds if self._clocked else UNKNOWN
        self._endpoint.estimate.clear_at = clear_at
