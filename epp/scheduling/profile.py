"""One configured chain of plugins and the loop that runs it."""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from epp.core.decision import Step
from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Answering, Filter, Picker, Preference, Scorer
from epp.scheduling.memory import Memory, memory_of, type_of, with_new_memory


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
    weights: Mapping[str, float]  # by name of the scorer


@dataclass(frozen=True, slots=True)
class Profile:
    name: str
    filters: tuple[Filter, ...]
    scorers: tuple[WeightedScorer, ...]
    picker: Picker
    preferences: tuple[Preference, ...] = ()
    filter_names: tuple[str, ...] = ()  # of the configured instances; else their types
    preference_names: tuple[str, ...] = ()
    picker_name: str = ""
    weights: Mapping[str, float] = field(init=False)  # by name of the scorer
    memories: tuple[Memory, ...] = field(init=False)  # of its stateful plugins
    answering: tuple[Answering, ...] = field(init=False)
    listed: int = field(init=False)  # endpoints, for every gateway

    def __post_init__(self) -> None:
        scorers = (weighted.scorer for weighted in self.scorers)
        plugins = (*self.filters, *self.preferences, *scorers, self.picker)
        found = (memory_of(plugin) for plugin in plugins)
        memories = tuple(memory for memory in found if memory is not None)
        given = (*plugins, *(memory.plugin for memory in memories))
        object.__setattr__(self, "memories", memories)
        object.__setattr__(self, "listed", self.picker.count)
        object.__setattr__(self, "weights", {s.name: s.weight for s in self.scorers})
        object.__setattr__(
            self, "answering", tuple(plugin for plugin in given if isinstance(plugin, Answering))
        )
        for names, named in (
            ("filter_names", self.filters),
            ("preference_names", self.preferences),
        ):
            if len(getattr(self, names)) != len(named):
                object.__setattr__(self, names, tuple(type_of(plugin) for plugin in named))
        if not self.picker_name:
            object.__setattr__(self, "picker_name", type_of(self.picker))

    def with_new_memory(self) -> Profile:
        """The same plugins, which remember nothing so far."""
        scorers = (
            WeightedScorer(s.name, with_new_memory(s.scorer), s.weight) for s in self.scorers
        )
        filters = (with_new_memory(filter_) for filter_ in self.filters)
        picker = with_new_memory(self.picker)
        return Profile(
            self.name,
            tuple(filters),
            tuple(scorers),
            picker,
            self.preferences,
            self.filter_names,
            self.preference_names,
            self.picker_name,
        )

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """By name: itself."""
        return {self.name: self}

    @property
    def what_fits(self) -> Hashable:
        """All that `fit_key` is made of: where it is equal, so are the classes of requests."""
        return self.filters

    def with_memory_of(self, before: Mapping[str, Profile]) -> Profile:
        """The same plugins, which remember what those of the same name and parameters did.

        `before` has by name the profiles that were in force.
        """
        made = self.with_new_memory()
        known_before = before[self.name].memories if self.name in before else ()
        for memory in made.memories:
            for known in known_before:
                if known == memory:
                    memory.state = known.state
        return made

    @property
    def reads_prefix(self) -> bool:
        """Whether `request.cached_tokens` must be filled before `rank`."""
        return (
            any(preference.reads_prefix for preference in self.preferences)
            or any(weighted.scorer.reads_prefix for weighted in self.scorers)
            or any(memory.plugin.reads_prefix for memory in self.memories)
        )

    @property
    def reads_costs(self) -> bool:
        """Whether what was learned must be on the request before `rank`."""
        return any(weighted.scorer.reads_costs for weighted in self.scorers)

    def fit_key(self, request: RequestFacts) -> Hashable:
        """Requests with equal keys pass the filters to the same endpoints."""
        return tuple(filter_.fit_key(request) for filter_ in self.filters)

    def narrow(
        self,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        steps: list[Step] | None = None,
    ) -> Sequence[Endpoint]:
        """The endpoints that every filter keeps; maybe none. Each is a step more."""
        for name, filter_ in zip(self.filter_names, self.filters):  # noqa: B905 - compiled only so
            if not endpoints:
                break
            endpoints = filter_.keep(request, endpoints)
            if steps is not None:
                steps.append((name, endpoints))
        return endpoints

    def rank(
        self,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        rng: random.Random,
        count: int,
        steps: list[Step] | None = None,
    ) -> Scheduled:
        """Score and pick among endpoints that passed `narrow`; at least one. `count` at least 1."""
        names, preferences = self.preference_names, self.preferences
        for name, preference in zip(names, preferences):  # noqa: B905 - compiled only so
            endpoints = preference.prefer(request, endpoints, rng)
            if steps is not None:
                steps.append((name, endpoints))
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
        ordered = self.picker.pick(endpoints, totals, max(count, self.listed), rng)
        return Scheduled(ordered, endpoints, totals, scores, self.weights)

    def decided(
        self,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        picked: Endpoint,
        now: float,
    ) -> None:
        """What `rank` chose among `endpoints` holds: the request is placed."""
        for memory in self.memories:
            memory.plugin.decided(memory.state, request, endpoints, picked, now)

    def finished(
        self, request: RequestFacts, picked: Endpoint, served: Endpoint, now: float
    ) -> None:
        """`served` answered a request that was placed on `picked`, with success."""
        for memory in self.memories:
            memory.plugin.finished(memory.state, request, picked, served, now)

    def response_headers(self, endpoints: Sequence[Endpoint]) -> Mapping[str, Mapping[str, str]]:
        """By authority of the endpoint that serves, one of these."""
        if not self.answering:
            return {}
        headers: dict[str, Mapping[str, str]] = {}
        for endpoint in endpoints:
            found: dict[str, str] = {}
            for plugin in self.answering:
                found.update(plugin.response_headers(endpoint))
            headers[endpoint.authority] = found
        return headers


def _added(totals: list[float], weight: float, scores: list[float]) -> list[float]:
    """Totals with weighted scores. A score counts within 0..1, NaN as 0."""
    added: list[float] = []
    for total, score in zip(totals, scores):  # noqa: B905 - compiled only in this form
        if score > 1.0:
            score = 1.0
        added.append(total + weight * score if score >= 0.0 else total)
    return added
