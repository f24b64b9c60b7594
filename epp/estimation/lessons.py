"""What one request teaches when its first token comes, when it ends, and when its usage is told."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Container, Sequence
from typing import Final, Protocol

from epp.core.endpoint import Endpoint
from epp.estimation.decoding import Window
from epp.estimation.lengths import AnswerLengths
from epp.estimation.recent import RecentMean
from epp.estimation.residency import Residency, Tier
from epp.estimation.stay import Life, Stay
from epp.estimation.timing import Timing
from epp.estimation.tokens import KeptShares, TokenRatios

AWAITING_USAGE: Final = 4096  # lives; the oldest leaves
LEAST_GAPS: Final = 4.0  # between two counts of first tokens, that prefills are expected to take
CROWDED_CACHE: Final = 0.9  # with a queue: first tokens then wait for room, not for compute


class Usage(Protocol):
    """Token counts that a model server reported; 0 or None where it did not."""

    @property
    def prompt_tokens(self) -> int: ...
    @property
    def completion_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int | None: ...


class Lessons:
    """Sorts the evidence: what says something of compute, of loading adapters, of tokens."""

    def __init__(self, residency: Residency) -> None:
        self.timing = Timing()
        self.tokens = TokenRatios()
        self.kept = KeptShares()
        self.lengths = AnswerLengths()
        self.residence = RecentMean()  # seconds from the pick to the end
        self._residency = residency
        self._awaiting: OrderedDict[str, Life] = OrderedDict()  # usage, by request id

    def prefill(
        self, stay: Stay, in_flight: float, seconds: float, others_load: bool, now: float
    ) -> None:
        """The server had so many seconds for this prefill alone, unless others had it load."""
        endpoint, tokens = stay.endpoint, stay.uncached_tokens
        if _crowded(endpoint) or stay.moved or stay.adapter_waits or others_load:
            return
        if stay.adapter_tier is Tier.RESIDENT:
            self.timing.learn_prefill(endpoint, tokens, in_flight, seconds, now)
        else:
            self._learn_load(stay, seconds - self.timing.expected_prefill(endpoint, tokens))

    def counted(
        self, stays: Sequence[Stay], in_flight: float, seconds: float, gap: float, now: float
    ) -> None:
        """A server had so many seconds for these prefills, known to about half of `gap`.

        Chosen by what is expected of them, never by what they took, which would be the slow ones.
        """
        endpoint = stays[0].endpoint
        tokens = sum(stay.uncached_tokens for stay in stays)
        expected = self.timing.guessed_prefill(endpoint, tokens)
        unusual = any(stay.moved or stay.loads for stay in stays)
        if _crowded(endpoint) or unusual or seconds <= 0.0 or expected < LEAST_GAPS * gap:
            return
        self.timing.learn_prefill(
            endpoint, tokens, in_flight, seconds, now, only_long_are_seen=True
        )

    def window(self, endpoint: Endpoint, window: Window, own_share: float, now: float) -> bool:
        """A server's counter says what it generated; of that the share is ours.

        Whether that tells how fast it decodes.
        """
        self.lengths.seen(window.tokens * own_share, window.placed)
        return self.timing.learn_window(endpoint, window, now)

    def life(self, life: Life, usage: Usage | None, counted: bool, now: float) -> None:
        """It ended well. Without usage, that may be told later.

        Where the server's own tokens are counted, an answer says nothing more of its decodes.
        """
        stay = life.stay
        self.residence.add(now - stay.placed_at)
        if usage is not None:
            self._learn_usage(stay, usage)
        if usage is not None and usage.completion_tokens > 0:
            # The first token is the prefill's.
            life.outputs = usage.completion_tokens - (0.0 if life.whole else 1.0)
        elif life.whole and stay.request_id:
            self._awaiting[stay.request_id] = life
            if len(self._awaiting) > AWAITING_USAGE:
                self._awaiting.popitem(last=False)
        if life.whole or not counted:
            self._learn_answer(life, now)

    def usage_of(
        self, request_id: str, usage: Usage, known: Container[Endpoint], now: float
    ) -> Stay | None:
        """Usage that is told after the end; None unless the request and its server are known."""
        life = self._awaiting.pop(request_id, None)
        if life is None or life.stay.endpoint not in known:
            return None
        self._learn_usage(life.stay, usage)
        if usage.completion_tokens > 0:
            life.outputs = float(usage.completion_tokens)
            self._learn_answer(life, now)
        return life.stay

    def forget(self, endpoint: Endpoint) -> None:
        self.kept.forget(endpoint)
        self.timing.forget(endpoint)

    def _learn_answer(self, life: Life, now: float) -> None:
        stay = life.stay
        if stay.moved or life.seconds <= 0.0 or life.outputs == 0.0:
            return
        if life.whole and (stay.adapter_waits or not stay.alone):
            return  # nobody says how long the others took
        if life.whole and stay.adapter_tier is not Tier.RESIDENT:
            self._learn_load(stay, life.seconds - self.timing.expected_life(life))
        else:
            self.timing.learn_answer(life, now)

    def _learn_load(self, stay: Stay, seconds: float) -> None:
        """What loading an adapter took: all that is not expected otherwise, NaN if nothing is."""
        if not math.isnan(seconds):
            self._residency.loaded(stay.adapter_tier, seconds)

    def _learn_usage(self, stay: Stay, usage: Usage) -> None:
        if usage.completion_tokens > 0:
            self.lengths.told(usage.completion_tokens)
        self.tokens.learn(stay.model, usage.prompt_tokens, stay.rule_tokens)
        # What came from another server is cached where it is decoded, as servers tell it.
        if usage.cached_tokens is not None and stay.alone and not stay.moved:
            self.kept.learn(stay.endpoint, usage.cached_tokens, stay.believed_tokens)


def _crowded(endpoint: Endpoint) -> bool:
    """Whether requests wait there for memory."""
    metrics = endpoint.metrics
    return metrics.waiting > 0 and metrics.kv_cache_usage > CROWDED_CACHE
