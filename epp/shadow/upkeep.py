"""The prefix index where shadows alone look at it: they pay for what it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.shadow.comparison import Shadows

P = TypeVar("P")

Hash = Callable[[str, P], tuple[Sequence[int], int]]  # of model and payload: blocks, their tokens


class PrefixIndex(Protocol):
    def add(self, endpoint: Endpoint, blocks: Sequence[int]) -> Sequence[int]: ...
    def remove(self, endpoint: Endpoint, blocks: Sequence[int]) -> None: ...
    def recognize(self, blocks: Sequence[int], prompt: bytes) -> None: ...
    def answered(self, facts: RequestFacts, endpoint: Endpoint, tokens: int | None) -> None: ...
    def reported(self, request_id: str, endpoint: Endpoint, tokens: int) -> None: ...


def paid_hashing(hash_prompt: Hash[P], shadows: Shadows, clock: Callable[[], float]) -> Hash[P]:
    """No blocks while they owe more time than they can."""

    def hashed(model: str, payload: P) -> tuple[Sequence[int], int]:
        if not shadows.may_keep_up_prefixes():
            return (), 0
        start = clock()
        found = hash_prompt(model, payload)
        shadows.pay_for_prefixes(clock() - start)
        return found

    return hashed


class PaidIndex:
    """The index itself, with the bill."""

    def __init__(self, index: PrefixIndex, shadows: Shadows, clock: Callable[[], float]) -> None:
        self._index = index
        self._shadows = shadows
        self._clock = clock

    def add(self, endpoint: Endpoint, blocks: Sequence[int]) -> Sequence[int]:
        start = self._clock()
        fresh = self._index.add(endpoint, blocks)
        self._shadows.pay_for_prefixes(self._clock() - start)
        return fresh

    def remove(self, endpoint: Endpoint, blocks: Sequence[int]) -> None:
        start = self._clock()
        self._index.remove(endpoint, blocks)
        self._shadows.pay_for_prefixes(self._clock() - start)

    def recognize(self, blocks: Sequence[int], prompt: bytes) -> None:
        start = self._clock()
        self._index.recognize(blocks, prompt)
        self._shadows.pay_for_prefixes(self._clock() - start)

    def answered(self, facts: RequestFacts, endpoint: Endpoint, tokens: int | None) -> None:
        start = self._clock()
        self._index.answered(facts, endpoint, tokens)
        self._shadows.pay_for_prefixes(self._clock() - start)

    def reported(self, request_id: str, endpoint: Endpoint, tokens: int) -> None:
        start = self._clock()
        self._index.reported(request_id, endpoint, tokens)
        self._shadows.pay_for_prefixes(self._clock() - start)
