"""Media are encoded elsewhere unless the endpoint that decodes has them cached with the prompt."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Decider


@dataclass(frozen=True, slots=True)
class UncachedMultimodalDecider(Decider):
    """Ours. A medium in a cached prefix is needed by nobody: neither encoded nor computed again.

    Where media stand in a prompt is not known. The next turn of a conversation lacks an answer and
    a question; a request with a new image lacks at least its tokens.
    """

    type_name: ClassVar[str] = "uncached-multimodal-decider"
    reads_prefix: ClassVar[bool] = True

    non_cached_tokens: int = 256  # from so many on that the endpoint has to compute

    def __post_init__(self) -> None:
        if self.non_cached_tokens < 0:
            raise ValueError(f"nonCachedTokens: {self.non_cached_tokens} is below zero")

    def needed(self, request: RequestFacts, decoder: Endpoint | None) -> bool:
        if not request.media_tokens:
            return False
        cached = 0 if decoder is None else request.cached_tokens.get(decoder, 0)
        uncached = request.prompt_tokens - cached
        return not cached or uncached >= self.non_cached_tokens

    def fit_key(self, request: RequestFacts) -> Hashable:
        """A request whose media are cached waits behind one whose media have to be encoded."""
        return request.media_tokens > 0
