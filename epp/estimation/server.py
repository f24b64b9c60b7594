"""The counters of one server, from which the measurements of every request are differences."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from epp.core.endpoint import Endpoint
from epp.core.estimate import UNKNOWN
from epp.estimation.decoding import Decoding, Progress, Window
from epp.estimation.first_tokens import Counted, FirstTokenCounter
from epp.estimation.prefills import ServerPrefills
from epp.estimation.stay import Life, Stay

COUNTED_FOR_SECONDS: Final = 60.0  # after a window: what answers tell is less exact
ARRIVALS: Final = 32  # the last ones, which the rate of arrivals rests on


class Server:
    """Who is in flight there, integrated over time, and whose prompts are still to be computed."""

    def __init__(self, endpoint: Endpoint, now: float) -> None:
        self.prefills = ServerPrefills(endpoint)
        self.look_at = math.inf  # when its prefills are looked at next
        self._endpoint = endpoint
        self.counted_at = UNKNOWN  # when a window last told how fast it decodes
        self._decoding = Decoding()
        self._counter = FirstTokenCounter()
        self._placed = 0  # ever
        self._arrivals: deque[float] = deque(maxlen=ARRIVALS)
        self._own = 0
        self._request_seconds = 0.0  # of all in flight, foreign ones included
        self._at = now
        self._first_token_at = UNKNOWN  # the last one

    @property
    def in_flight(self) -> float:
        """Ours and foreign."""
        return self._own + self._endpoint.load.foreign

    def enter(self, stay: Stay, now: float) -> None:
        """Placed here; nothing is due at `now` any more."""
        self._advance(now)
        self._own += 1
        self._placed += 1
        if stay.alone:
            self._counter.placed(stay)
        if stay.prefilling:
            self.prefills.add(stay, now)
        self._endpoint.estimate.tokens_since_reading += stay.new_tokens
        self.mark(stay, now)
        stay.ahead_tokens = float(self.prefills.pending_tokens)

    def arrived(self, now: float) -> None:
        """A request was placed here, to be answered or only computed."""
        arrivals, estimate = self._arrivals, self._endpoint.estimate
        if not arrivals:
            estimate.arrivals_since = now
        elif len(arrivals) == ARRIVALS:
            estimate.arrivals_since = arrivals[0]
        arrivals.append(now)
        estimate.arrivals = len(arrivals)

    def leave(self, stay: Stay, now: float) -> None:
        self._advance(now)
        self._own -= 1
        if stay.prefilling:
            self.prefills.drop(stay, now)
        if stay.ended_at == math.inf:
            self._counter.left(stay)

    def mark(self, stay: Stay, now: float) -> None:
        """From here on it is measured."""
        self._advance(now)
        stay.ahead_tokens = 0.0
        stay.prefilled_mark = self.prefills.done_tokens
        stay.in_flight_mark = self._request_seconds
        stay.since = now

    def measured(self, stay: Stay, now: float) -> Life:
        """Since the mark."""
        self._advance(now)
        seconds = now - stay.since
        request_seconds = self._request_seconds - stay.in_flight_mark
        in_flight = request_seconds / seconds if seconds > 0.0 else self.in_flight
        prefilled = self.prefills.done_tokens - stay.prefilled_mark
        return Life(stay, seconds, stay.ahead_tokens, prefilled, max(1.0, in_flight), None)

    def window(self) -> Window | None:
        """What the scrape that just came says of the time since an earlier one."""
        prefills = self.prefills
        progress = Progress(
            prefills.done_tokens,
            prefills.pending_tokens,
            self._placed,
            prefills.loads,
            prefills.pending_loads,
        )
        return self._decoding.read(self._endpoint.metrics, progress)

    def counted(self) -> Counted | None:
        """Whose first tokens the scrape that just came has counted, and the one before had not."""
        return self._counter.read(self._endpoint.metrics, self._endpoint.load.foreign)

    @property
    def counting_gap_seconds(self) -> float:
        """Between two counts of first tokens; infinity where they do not say when one came."""
        return self._counter.gap_seconds

    def since_counted(self, counted: Counted, now: float) -> float:
        """Seconds that the server had for the prefills of these alone."""
        seconds = counted.seconds(now, self._first_token_at)
        self._first_token_at = max(self._first_token_at, (counted.since + now) / 2.0)
        return seconds

    def counts_tokens(self, now: float) -> bool:
        """Whether its scrapes tell how fast it decodes."""
        return now - self.counted_at < COUNTED_FOR_SECONDS

    @property
    def own_share(self) -> float:
        """Of the requests in flight."""
        return self._own / self.in_flight if self._own else 0.0

    def since_first_token(self, stay: Stay, now: float) -> float:
        """Seconds that the server had for this prefill alone: since the one before it was done."""
        seconds = now - max(stay.placed_at, self._first_token_at)
        self._first_token_at = now
        return seconds

    def _advance(self, now: float) -> None:
        if now > self._at:
            self._request_seconds += (now - self._at) * self.in_flight
            self._at = now
