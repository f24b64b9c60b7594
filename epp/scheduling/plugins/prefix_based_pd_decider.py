"""A request is prefilled elsewhere if the endpoint that decodes lacks much of its prompt."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Decider


@dataclass(frozen=True, slots=True)
class PrefixBasedPdDecider(Decider):
    """What is cached is read from the one prefix index, whichever feeds it."""

    type_name: ClassVar[str] = "prefix-based-pd-decider"
    reads_prefix: ClassVar[bool] = True

    non_cached_tokens: int = 0  # from so many on that the endpoint has to compute; 0 is never
    prompt_tokens: int = 0  # of shorter prompts, none

    def __post_init__(self) -> None:
        for name, value in (
            ("nonCachedTokens", self.non_cached_tokens),
            ("promptTokens", self.prompt_tokens),
        ):
            if value < 0:
                raise ValueError(f"{name}: {value} is below zero")

    def needed(self, request: RequestFacts, decoder: Endpoint | None) -> bool:
        if decoder is None or not self._long_enough(request):
            return False
        uncached = request.prompt_tokens - request.cached_tokens.get(decoder, 0)
        return uncached >= self.non_cached_tokens

    def fit_key(self, request: RequestFacts) -> Hashable:
        """Of long prompts, one whose prefix is cached waits behind one that has to be prefilled."""
        return self._long_enough(request)

    def _long_enough(self, request: RequestFacts) -> bool:
        least = max(self.non_cached_tokens, self.prompt_tokens)
        return self.non_cached_tokens > 0 and request.prompt_tokens >= least
