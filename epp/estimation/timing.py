"""Which laws are learned from which evidence, and which of them count.

First tokens and decodes say most, whole lives are what there is where no first token is seen.
Decodes are seen in the servers' counters of tokens; where those are not shown, when answers end.
Where servers do not tell the tokens of an answer, every answer counts as one.
"""

from __future__ import annotations

import math
from typing import Final

from epp.core.endpoint import Endpoint
from epp.core.estimate import UNKNOWN
from epp.estimation.decoding import Window
from epp.estimation.laws import AnswerLaw, Decode, DecodeLaw, PrefillLaw, TokenLaw
from epp.estimation.speeds import Speeds
from epp.estimation.stay import Life

ONE_ANSWER: Final = 1.0
ASSUMED_TOKEN_SECONDS: Final = 5e-5  # of a prefill, until it is known
# Parts of a window in which its server had prompts to compute, at most:
MOST_PENDING: Final = 0.15  # at a reading
MOST_PREFILLED: Final = 0.3  # that ended in it


class _Answers:
    """A law by tokens, and one by answers until that is known.

    Without its length nothing may explain an answer that grows with it, as what the server
    computed meanwhile does. So then only what was ahead of it counts.
    """

    def __init__(self, by_tokens: TokenLaw) -> None:
        self.by_tokens = by_tokens
        self.by_answers = AnswerLaw()
        self.speeds = Speeds()

    @property
    def law(self) -> TokenLaw | None:
        if self.by_tokens.known:
            return self.by_tokens
        return self.by_answers if self.by_answers.known else None

    def expected(self, life: Life) -> float:
        """Seconds on a server like the pool; NaN where the law in use cannot tell."""
        if not self.by_tokens.known:
            if not self.by_answers.known:
                return math.nan
            return self.by_answers.seconds(life.ahead, ONE_ANSWER, life.in_flight)
        if life.outputs is None:
            return math.nan
        return self.by_tokens.seconds(life.prefilled, life.outputs, life.in_flight)


class Timing:
    """How long servers take. Writes the ratios of the endpoints' estimates."""

    def __init__(self) -> None:
        self.prefills = PrefillLaw()
        self._prefill_speeds = Speeds()
        self._decode_law, self._life_law = DecodeLaw(), AnswerLaw()
        self._decodes = _Answers(self._decode_law)
        self._lives = _Answers(self._life_law)
        self._shown: dict[Endpoint, None] = {}

    def learn_prefill(
        self,
        endpoint: Endpoint,
        tokens: int,
        in_flight: float,
        seconds: float,
        now: float,
        *,
        only_long_are_seen: bool = False,
    ) -> None:
        if self.prefills.known:
            expected = self.prefills.seconds(tokens)
            reviewed = self._prefill_speeds.learn(endpoint, seconds, expected, in_flight)
            self._show(endpoint, reviewed)
        alike = seconds / self._prefill_speeds.ratio(endpoint)
        self.prefills.learn(tokens, alike, now, only_long_are_seen=only_long_are_seen)

    def learn_window(self, endpoint: Endpoint, window: Window, now: float) -> bool:
        """A server counted its tokens. Whether that tells how fast it decodes.

        A prefill goes on in steps that are seen only at its end: next to a large one nothing does.
        Nor does anything while an adapter is loaded.
        """
        if window.running <= 0.0 or window.tokens <= 0.0 or window.loads:
            return False
        token = self.prefill()[1] or ASSUMED_TOKEN_SECONDS
        token *= endpoint.estimate.prefill_ratio / window.seconds
        if token * window.pending > MOST_PENDING or token * window.prefilled > MOST_PREFILLED:
            return False
        running = window.running
        row = Decode(endpoint, window.seconds, window.tokens / running, running, window.prefilled)
        self._learn_decode(row, now)
        return True

    def learn_answer(self, life: Life, now: float) -> None:
        """One whose outputs are told later is learned twice: once without and once with them."""
        endpoint, in_flight, outputs = life.stay.endpoint, life.in_flight, life.outputs
        if outputs is not None and not life.whole:
            overlap = max(1.0, in_flight)
            row = Decode(endpoint, life.seconds, outputs, in_flight, life.prefilled, overlap)
            self._learn_decode(row, now)
            return
        answers = self._lives if life.whole else self._decodes
        expected = answers.expected(life)
        if not math.isnan(expected):
            reviewed = answers.speeds.learn(endpoint, life.seconds, expected, in_flight)
            self._show(endpoint, reviewed)
        seconds = life.seconds / answers.speeds.ratio(endpoint)
        if outputs is not None:
            self._life_law.learn(life.prefilled, outputs, in_flight, seconds, now)
        elif not answers.by_tokens.known:
            answers.by_answers.learn(life.ahead, ONE_ANSWER, in_flight, seconds, now)

    def prefill(self) -> tuple[float, float, float, float]:
        """Base, seconds a token, samples and time of the last; all but that 0 while unknown."""
        if self.prefills.known:
            law = self.prefills
            return law.base_seconds, law.token_seconds, law.samples, law.learned_at
        whole = self._lives.law
        if whole is None:
            return 0.0, 0.0, 0.0, UNKNOWN
        return 0.0, whole.prefill_token_seconds, whole.samples, whole.learned_at

    def decode(self, output_tokens: float) -> tuple[float, float, float, float]:
        """Of a mean answer: seconds, more for every request in flight, samples, last learned."""
        answers = self._decode_answers()
        law = answers.law
        if law is None:
            return 0.0, 0.0, 0.0, UNKNOWN
        outputs = output_tokens if law is answers.by_tokens else ONE_ANSWER
        return (
            outputs * law.output_seconds,
            outputs * law.slope_seconds,
            law.samples,
            law.learned_at,
        )

    def expected_prefill(self, endpoint: Endpoint, tokens: int) -> float:
        """Seconds on that server; NaN while nothing is known."""
        base, token, _, _ = self.prefill()
        if token <= 0.0:
            return math.nan
        return (base + token * tokens) * endpoint.estimate.prefill_ratio

    def guessed_prefill(self, endpoint: Endpoint, tokens: int) -> float:
        """Seconds on that server, never NaN: whether a prefill is long enough to be counted.

        Until prefills were seen only whole lives tell, and that can be far too little: answers of
        equal length, and who is in flight, explain nearly all of a life.
        """
        expected = self.expected_prefill(endpoint, tokens)
        if self.prefills.known:
            return expected
        return max(ASSUMED_TOKEN_SECONDS * tokens, 0.0 if math.isnan(expected) else expected)

    def expected_life(self, life: Life) -> float:
        """Seconds from the pick to the end on its server; NaN while nothing is known."""
        return self._lives.expected(life) * self._lives.speeds.ratio(life.stay.endpoint)

    def forget(self, endpoint: Endpoint) -> None:
        self._shown.pop(endpoint, None)
        self._decode_law.forget(endpoint)
        for speeds in (self._prefill_speeds, self._decodes.speeds, self._lives.speeds):
            speeds.forget(endpoint)

    def _learn_decode(self, row: Decode, now: float) -> None:
        law, speeds = self._decode_law, self._decodes.speeds
        law.learn(row, now)
        if law.known:
            expected = law.seconds(row.prefilled, row.outputs, row.in_flight)
            self._show(row.endpoint, speeds.learn(row.endpoint, row.seconds, expected, row.overlap))

    def _decode_answers(self) -> _Answers:
        """Of tokens rather than answers, of decodes rather than whole lives."""
        if not self._decodes.by_tokens.known and self._lives.by_tokens.known:
            return self._lives
        return self._decodes if self._decodes.law is not None else self._lives

    def _show(self, endpoint: Endpoint, everybody: bool) -> None:
        prefills = self._prefill_speeds if self.prefills.known else self._lives.speeds
        decodes = self._decode_answers().speeds
        self._shown[endpoint] = None
        for server in self._shown if everybody else (endpoint,):
            server.estimate.prefill_ratio = prefills.ratio(server)
            server.estimate.decode_ratio = decodes.ratio(server)
