"""How long servers take: a prefill by its tokens, an answer by its tokens and who else is there.

Pooled over all servers, because a law of one server starves: after one bad sample nobody asks it
again. How a server differs is in `speeds`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from epp.core.endpoint import Endpoint
from epp.core.estimate import UNKNOWN
from epp.estimation.least_squares import NonNegativeLeastSquares

ENOUGH_PREFILLS: Final = 8
ENOUGH_ANSWERS: Final = 20
SMALL_PREFILL_TOKENS: Final = 256  # below this the tokens say little about the error
SHORT_ANSWER_TOKENS: Final = 8
SERVER_ROWS: Final = 32.0  # that the mean of a server remembers
POOL_ROWS: Final = 512.0


class PrefillLaw:
    """seconds = base + tokens · token; one row for every first token.

    Where only long prompts can be seen, perhaps all of one length, nothing tells the base from the
    tokens. Such rows leave it out: of a long prefill it is next to nothing.
    """

    def __init__(self) -> None:
        self.known = False
        self.base_seconds = 0.0
        self.token_seconds = 0.0
        self.samples = 0.0
        self.learned_at = UNKNOWN
        self._fit = NonNegativeLeastSquares()

    def learn(
        self, tokens: float, seconds: float, now: float, *, only_long_are_seen: bool = False
    ) -> None:
        fit = self._fit
        base = 0.0 if only_long_are_seen else 1.0
        fit.add(base, tokens, 0.0, seconds, (tokens + SMALL_PREFILL_TOKENS) ** -0.5)
        self.base_seconds, self.token_seconds, _ = fit.coefficients
        self.samples, self.learned_at = fit.samples, now
        self.known = fit.samples > ENOUGH_PREFILLS - 0.5 and self.token_seconds > 0.0

    def seconds(self, tokens: float) -> float:
        return self.base_seconds + self.token_seconds * tokens


class TokenLaw:
    """seconds = prefilled · token + outputs · (single + slope · in flight).

    Prefilled are the prompt tokens that the server computed meanwhile, whosever they were.
    """

    def __init__(self) -> None:
        self.known = False
        self.prefill_token_seconds = 0.0
        self.output_seconds = 0.0
        self.slope_seconds = 0.0
        self.samples = 0.0
        self.learned_at = UNKNOWN
        self._fit = NonNegativeLeastSquares()

    def seconds(self, prefilled: float, outputs: float, in_flight: float) -> float:
        decode = outputs * (self.output_seconds + self.slope_seconds * in_flight)
        return self.prefill_token_seconds * prefilled + decode

    def _learned(self, now: float) -> None:
        self.samples, self.learned_at = self._fit.samples, now
        self.known = self._fit.samples > ENOUGH_ANSWERS - 0.5


class AnswerLaw(TokenLaw):
    """Of whole answers. It has no constant: with one, few samples of an uneven pool send it off."""

    def learn(
        self, prefilled: float, outputs: float, in_flight: float, seconds: float, now: float
    ) -> None:
        """`in_flight` is the mean over the time, the request itself included."""
        fit = self._fit
        scale = 1.0 / (outputs + SHORT_ANSWER_TOKENS)
        fit.add(prefilled, outputs, outputs * in_flight, seconds, scale)
        self.prefill_token_seconds, self.output_seconds, self.slope_seconds = fit.coefficients
        self._learned(now)


@dataclass(frozen=True, slots=True)
class Decode:
    """What one server generated in a time, as one row of evidence."""

    endpoint: Endpoint
    seconds: float
    outputs: float  # tokens for each request; above zero
    in_flight: float  # mean requests over the time
    prefilled: float  # prompt tokens that it computed meanwhile
    overlap: float = 1.0  # so many rows that overlap in time count as one


class DecodeLaw(TokenLaw):
    """Of decodes, fitted to what changes on each server (fixed effects).

    Fast servers have more requests in flight. Over all servers, more in flight would therefore
    seem to cost nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._servers: dict[Endpoint, _Means] = {}
        self._pool = _Means()

    def learn(self, row: Decode, now: float) -> None:
        each, beside = row.seconds / row.outputs, row.prefilled / row.outputs
        means = self._servers.get(row.endpoint)
        if means is None:
            means = self._servers[row.endpoint] = _Means()
        if means.rows:
            share = means.rows / (means.rows + 1.0)  # the mean of few rows is itself uncertain
            scale = math.sqrt(row.outputs * share / row.overlap)
            self._fit.add(
                beside - means.prefilled,
                0.0,
                row.in_flight - means.in_flight,
                each - means.seconds,
                scale,
            )
        means.add(each, row.in_flight, beside, SERVER_ROWS)
        self._pool.add(each, row.in_flight, beside, POOL_ROWS)
        self.prefill_token_seconds, _, self.slope_seconds = self._fit.coefficients
        self.output_seconds = self._pool.rest(self.prefill_token_seconds, self.slope_seconds)
        self._learned(now)

    def forget(self, endpoint: Endpoint) -> None:
        self._servers.pop(endpoint, None)


class _Means:
    """Of recent rows, for one output token each."""

    def __init__(self) -> None:
        self.rows = 0.0
        self.seconds = self.in_flight = self.prefilled = 0.0

    def add(self, seconds: float, in_flight: float, prefilled: float, memory: float) -> None:
        self.rows = min(memory, self.rows + 1.0)
        self.seconds += (seconds - self.seconds) / self.rows
        self.in_flight += (in_flight - self.in_flight) / self.rows
        self.prefilled += (prefilled - self.prefilled) / self.rows

    def rest(self, prefill_token_seconds: float, slope_seconds: float) -> float:
        """Seconds that neither prefills nor who else is in flight explain; at least 0."""
        explained = prefill_token_seconds * self.prefilled + slope_seconds * self.in_flight
        return max(0.0, self.seconds - explained)
