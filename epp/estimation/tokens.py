"""What servers count, next to what we had estimated: tokens of a prompt, and cached ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from epp.core.endpoint import Endpoint

FORGETTING: Final = 0.98  # of all earlier reports when one comes
MODELS: Final = 256  # the least recently reported leaves
PRIOR_TOKENS: Final = 4096.0  # that an estimate is taken to have been right for
LEAST_RATIO: Final = 1.0 / 8.0
MOST_RATIO: Final = 8.0


class _Sums:
    """Reported and estimated tokens, older ones counting less."""

    __slots__ = ("estimated", "reported")

    def __init__(self) -> None:
        self.reported = 0.0
        self.estimated = 0.0

    def add(self, reported: float, estimated: float) -> None:
        self.reported = FORGETTING * self.reported + reported
        self.estimated = FORGETTING * self.estimated + estimated

    @property
    def ratio(self) -> float:
        return (self.reported + PRIOR_TOKENS) / (self.estimated + PRIOR_TOKENS)


class TokenRatios:
    """By model: tokens that its tokenizer makes of four bytes."""

    def __init__(self) -> None:
        self._models: dict[str, _Sums] = {}

    def ratio(self, model: str) -> float:
        """1 for a model of which nothing was reported."""
        sums = self._models.get(model)
        return 1.0 if sums is None else min(MOST_RATIO, max(LEAST_RATIO, sums.ratio))

    def known(self) -> Mapping[str, float]:
        """Of the models that something was reported of, at most MODELS."""
        return {model: self.ratio(model) for model in self._models}

    def learn(self, model: str, reported: int, estimated: float) -> None:
        """`estimated` by the rule of four bytes."""
        if reported <= 0 or estimated <= 0.0:
            return
        sums = self._models.pop(model, None) or _Sums()
        self._models[model] = sums
        sums.add(reported, estimated)
        if len(self._models) > MODELS:
            del self._models[next(iter(self._models))]


class KeptShares:
    """By server: how much of what the prefix index believes to be cached really is."""

    def __init__(self) -> None:
        self._servers: dict[Endpoint, _Sums] = {}
        self._counts = False  # whether any server ever counted a cached token

    def learn(self, endpoint: Endpoint, reported: int, believed: int) -> None:
        """Writes the endpoint's estimate. Engines count whole blocks, so a rest is normal."""
        self._counts = self._counts or reported > 0
        if believed <= 0 or not self._counts:
            return  # a zero of one that never counts says nothing
        sums = self._servers.get(endpoint)
        if sums is None:
            sums = self._servers[endpoint] = _Sums()
        sums.add(min(reported, believed), believed)
        endpoint.estimate.kept_share = min(1.0, sums.ratio)

    def forget(self, endpoint: Endpoint) -> None:
        self._servers.pop(endpoint, None)
        endpoint.estimate.kept_share = 1.0
