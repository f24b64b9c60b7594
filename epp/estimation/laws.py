"""How long servers take: a prefill by its tokens, an answer by its tokens and who else is there.

Pooled over all servers, because a law of one server starves: after one bad sample nobody asks it
again. How a server differs is in `speeds`.
"""

from __future__ import annotations

from typing import Final

from epp.core.estimate import UNKNOWN
from epp.estimation.least_squares import NonNegativeLeastSquares

ENOUGH_PREFILLS: Final = 8
ENOUGH_ANSWERS: Final = 20
SMALL_PREFILL_TOKENS: Final = 256  # below this the tokens say little about the error
SHORT_ANSWER_TOKENS: Final = 8


class PrefillLaw:
    """seconds = base + tokens · token; one row for every first token."""

    def __init__(self) -> None:
        self.known = False
        self.base_seconds = 0.0
        self.token_seconds = 0.0
        self.samples = 0.0
        self.learned_at = UNKNOWN
        self._fit = NonNegativeLeastSquares()

    def learn(self, tokens: float, seconds: float, now: float) -> None:
        fit = self._fit
        fit.add(1.0, tokens, 0.0, seconds, (tokens + SMALL_PREFILL_TOKENS) ** -0.5)
        self.base_seconds, self.token_seconds, _ = fit.coefficients
        self.samples, self.learned_at = fit.samples, now
        self.known = fit.samples > ENOUGH_PREFILLS - 0.5 and self.token_seconds > 0.0

    def seconds(self, tokens: float) -> float:
        return self.base_seconds + self.token_seconds * tokens


class AnswerLaw:
    """seconds = prefilled · token + outputs · (single + slope · in flight).

    Prefilled are the prompt tokens that the server computed meanwhile, whosever they were. There
    is no constant: with one, few samples of an uneven pool send it off to seconds.
    """

    def __init__(self) -> None:
        self.known = False
        self.prefill_token_seconds = 0.0
        self.output_seconds = 0.0
        self.slope_seconds = 0.0
        self.samples = 0.0
        self.learned_at = UNKNOWN
        self._fit = NonNegativeLeastSquares()

    def learn(
        self, prefilled: float, outputs: float, in_flight: float, seconds: float, now: float
    ) -> None:
        """`in_flight` is the mean over the time, the request itself included."""
        fit = self._fit
        scale = 1.0 / (outputs + SHORT_ANSWER_TOKENS)
        fit.add(prefilled, outputs, outputs * in_flight, seconds, scale)
        self.prefill_token_seconds, self.output_seconds, self.slope_seconds = fit.coefficients
        self.samples, self.learned_at = fit.samples, now
        self.known = fit.samples > ENOUGH_ANSWERS - 0.5

    def seconds(self, prefilled: float, outputs: float, in_flight: float) -> float:
        decode = outputs * (self.output_seconds + self.slope_seconds * in_flight)
        return self.prefill_token_seconds * prefilled + decode
