"""Send prompts to endpoints whose label says that they are for prompts of that length."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final, NamedTuple

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Filter, Scorer

LABEL: Final = "llm-d.ai/context-length-range"
RANGE: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
MOST_OUTSIDE: Final = 0.3  # the best score of an endpoint whose range the prompt is not in


class LengthRange(NamedTuple):
    least: int  # tokens
    most: int


@dataclass(frozen=True, slots=True)
class ContextLengthAware(Filter, Scorer):
    """Scores narrow ranges with much room above the prompt best; filters only if told to."""

    type_name: ClassVar[str] = "context-length-aware"

    label: str = LABEL  # whose value is such as 0-2048, in tokens, both ends included
    enable_filtering: bool = False

    def __post_init__(self) -> None:
        if not self.label:
            raise ValueError("label: is empty")

    def keep(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        if not self.enable_filtering:
            return endpoints
        tokens = request.prompt_tokens
        return [endpoint for endpoint in endpoints if self._takes(endpoint, tokens)]

    def fit_key(self, request: RequestFacts) -> Hashable:
        return request.prompt_tokens if self.enable_filtering else None

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        tokens, label = request.prompt_tokens, self.label
        return [_score(endpoint.labels.get(label), tokens) for endpoint in endpoints]

    def _takes(self, endpoint: Endpoint, tokens: int) -> bool:
        text = endpoint.labels.get(self.label)
        if text is None:
            return True
        found = length_range(text)
        return found is not None and found.least <= tokens <= found.most


@lru_cache(maxsize=1024)
def length_range(text: str) -> LengthRange | None:
    """None for what is no range."""
    match = RANGE.fullmatch(text)
    if match is None:
        return None
    found = LengthRange(int(match[1]), int(match[2]))
    return found if found.least <= found.most else None


def _score(text: str | None, tokens: int) -> float:
    if text is None:
        return 0.5
    found = length_range(text)
    if found is None:
        return 0.0
    least, most = found
    if tokens > most or tokens < least:
        distance = tokens - most if tokens > most else least - tokens
        return MOST_OUTSIDE / (1.0 + distance / 1000)
    width = most - least
    if not width:
        return 1.0
    narrowness = 1.0 / (1.0 + width / 10_000)
    room = (most - tokens) / width
    return MOST_OUTSIDE + (1.0 - MOST_OUTSIDE) * (0.7 * narrowness + 0.3 * room)
