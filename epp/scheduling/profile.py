"""One configured chain of plugins and the loop that runs it."""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Filter, Picker, Scorer


class PluginFault(Exception):
    """A plugin broke its contract; the message names it."""


@dataclass(frozen=True, slots=True)
class WeightedScorer:
    name: str  # of the configured instance
    scorer: Scorer
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight):
            raise ValueError(f"weight of {self.name}: {self.weight} is not finite")


@dataclass(slots=True)
class Scheduled:
    """What was chosen and why. Lists are aligned with `candidates`."""

    ordered: Sequence[Endpoint]  # best first
    candidates: Sequence[Endpoint]
    totals: Sequence[float]
    scores: Mapping[str, Sequence[float]]  # by name of the scorer


@dataclass(frozen=True, slots=True)
class Profile:
    name: str
    filters: tuple[Filter, ...]
    scorers: tuple[WeightedScorer, ...]
    picker: Picker

    @property
    def reads_prefix(self) -> bool:
        """Whether `request.cached_tokens` must be filled before `rank`."""
        return any(weighted.scorer.reads_prefix for weighted in self.scorers)

    def fit_key(self, request: RequestFacts) -> Hashable:
        """Requests with equal keys pass the filters to the same endpoints."""
        return tuple(filter_.fit_key(request) for filter_ in self.filters)

    def narrow(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """The endpoints that every filter keeps; maybe none."""
        for filter_ in self.filters:
            if not endpoints:
                break
            endpoints = filter_.keep(request, endpoints)
        return endpoints

    def rank(
        self,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        rng: random.Random,
        count: int,
    ) -> Scheduled:
        """Score and pick among endpoints that passed `narrow`; at least one. `count` at least 1."""
        totals = [0.0] * len(endpoints)
        scores: dict[str, Sequence[float]] = {}
        for weighted in self.scorers:
            given = weighted.scorer.score(request, endpoints)
            if len(given) != len(totals):
                raise PluginFault(
                    f"{weighted.name}: {len(given)} scores for {len(totals)} endpoints"
                )
            scores[weighted.name] = given
            numbers = given if isinstance(given, list) else list(given)
            totals = _added(totals, weighted.weight, numbers)
        count = max(count, self.picker.count)
        return Scheduled(self.picker.pick(endpoints, totals, count, rng), endpoints, totals, scores)


def _added(totals: list[float], weight: float, scores: list[float]) -> list[float]:
    """Totals with weighted scores. A score counts within 0..1, NaN as 0."""
    added: list[float] = []
    for total, score in zip(totals, scores):  # noqa: B905 - compiled only in this form
        if score > 1.0:
            score = 1.0
        added.append(total + weight * score if score >= 0.0 else total)
    return added
