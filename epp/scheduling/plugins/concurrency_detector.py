"""An endpoint is full with as many requests or tokens of ours as it is meant to take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Detector


class ConcurrencyMode(StrEnum):
    REQUESTS = "requests"
    TOKENS = "tokens"
    HYBRID = "hybrid"  # the fuller of the two


@dataclass(frozen=True, slots=True)
class ConcurrencyDetector(Detector):
    """Tokens count until the first one of the answer, as with `token-load-scorer`."""

    type_name: ClassVar[str] = "concurrency-detector"

    max_concurrency: int = 100  # requests in flight
    max_token_concurrency: int = 1_000_000  # to compute for requests without a first token
    concurrency_mode: ConcurrencyMode = ConcurrencyMode.REQUESTS
    headroom: float = 0.0  # as a filter, limits are (1 + headroom) times as high
    in_flight_load_producer_name: str = ""  # accepted: there is one ledger

    def __post_init__(self) -> None:
        if self.max_concurrency <= 0:
            raise ValueError(f"maxConcurrency: {self.max_concurrency} is not above zero")
        if self.max_token_concurrency <= 0:
            raise ValueError(f"maxTokenConcurrency: {self.max_token_concurrency} is not above zero")
        if not 0.0 <= self.headroom < math.inf:
            raise ValueError(f"headroom: {self.headroom} is not a finite number from zero on")

    def with_room(self, endpoints: Sequence[Endpoint], now: float) -> Sequence[Endpoint]:
        return [e for e in endpoints if self._pressure(e, 1.0) < 1.0]

    def saturation(self, endpoints: Sequence[Endpoint], now: float) -> float:
        if not endpoints:
            return 1.0
        return sum(self._pressure(endpoint, 1.0) for endpoint in endpoints) / len(endpoints)

    def keep(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return [e for e in endpoints if self._pressure(e, 1.0 + self.headroom) < 1.0]

    def _pressure(self, endpoint: Endpoint, scale: float) -> float:
        load = endpoint.load
        requests = load.requests / int(self.max_concurrency * scale)
        tokens = load.prefilling_tokens / int(self.max_token_concurrency * scale)
        match self.concurrency_mode:
            case ConcurrencyMode.REQUESTS:
                return requests
            case ConcurrencyMode.TOKENS:
                return tokens
            case ConcurrencyMode.HYBRID:
                return max(requests, tokens)
