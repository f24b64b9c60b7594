"""Schedulers whose plugins are timed: they choose what the plain ones do, and take longer.

Made beside the plain ones, whose memory they share, and used for a sample of the decisions.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from epp.core.decision import Step
from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.core.stages import Picks, Stage
from epp.core.stopwatch import (
    ADMISSION,
    FILTER,
    PICKER,
    PROCESS_RESULTS,
    PROFILE_PICKER,
    SCORER,
    TIMED_EVERY,
    Part,
    Stopwatch,
    Timer,
)
from epp.scheduling.interfaces import Admitter, Filter, Picker, Preference, Scorer
from epp.scheduling.memory import type_of
from epp.scheduling.profile import Profile, Scheduled, WeightedScorer
from epp.scheduling.staged import StagedScheduler


@dataclass(frozen=True, slots=True)
class TimedFilter(Filter):
    plugin: Filter
    stopwatch: Stopwatch
    timer: Timer

    def keep(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        began = self.stopwatch.clock()
        kept = self.plugin.keep(request, endpoints)
        self.timer.ran_since(began, len(endpoints), len(kept))
        return kept


@dataclass(frozen=True, slots=True)
class TimedPreference(Preference):
    plugin: Preference
    stopwatch: Stopwatch
    timer: Timer

    def prefer(
        self, request: RequestFacts, endpoints: Sequence[Endpoint], rng: random.Random
    ) -> Sequence[Endpoint]:
        began = self.stopwatch.clock()
        kept = self.plugin.prefer(request, endpoints, rng)
        self.timer.ran_since(began, len(endpoints), len(kept))
        return kept


@dataclass(frozen=True, slots=True)
class TimedScorer(Scorer):
    plugin: Scorer
    stopwatch: Stopwatch
    timer: Timer

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        began = self.stopwatch.clock()
        scores = self.plugin.score(request, endpoints)
        self.timer.ran_since(began, len(endpoints), len(endpoints))
        return scores


@dataclass(frozen=True, slots=True)
class TimedPicker(Picker):
    plugin: Picker
    stopwatch: Stopwatch
    timer: Timer

    def pick(
        self,
        endpoints: Sequence[Endpoint],
        scores: Sequence[float],
        count: int,
        rng: random.Random,
    ) -> Sequence[Endpoint]:
        began = self.stopwatch.clock()
        picked = self.plugin.pick(endpoints, scores, count, rng)
        self.timer.ran_since(began, len(endpoints), len(picked))
        return picked

    @property
    def count(self) -> int:
        return self.plugin.count


class TimedAdmitter:
    """Times some of its runs; there is no decision yet that could be timed as a whole."""

    def __init__(self, name: str, admitter: Admitter, stopwatch: Stopwatch) -> None:
        self._admitter = admitter
        self._stopwatch = stopwatch
        self._timer = stopwatch.timer(Part(ADMISSION, admitter.type_name, name))
        self._left = 1

    def refusal(
        self, request: RequestFacts, endpoints: Sequence[Endpoint], rng: random.Random
    ) -> str:
        self._left -= 1
        if self._left:
            return self._admitter.refusal(request, endpoints, rng)
        self._left = TIMED_EVERY
        began = self._stopwatch.clock()
        detail = self._admitter.refusal(request, endpoints, rng)
        self._timer.ran_since(began, len(endpoints))
        return detail


def _with_timers(profile: Profile, stopwatch: Stopwatch) -> Profile:
    """Without memory of its own: it must not be told what was decided."""

    def timer(point: str, kind: str, name: str) -> Timer:
        return stopwatch.timer(Part(point, kind, name, profile.name))

    filters = zip(profile.filters, profile.filter_names, strict=True)
    preferences = zip(profile.preferences, profile.preference_names, strict=True)
    picker = profile.picker
    return Profile(
        profile.name,
        tuple(
            TimedFilter(plugin, stopwatch, timer(FILTER, type_of(plugin), name))
            for plugin, name in filters
        ),
        tuple(
            WeightedScorer(
                s.name,
                TimedScorer(s.scorer, stopwatch, timer(SCORER, type_of(s.scorer), s.name)),
                s.weight,
            )
            for s in profile.scorers
        ),
        TimedPicker(picker, stopwatch, timer(PICKER, type_of(picker), profile.picker_name)),
        tuple(
            TimedPreference(plugin, stopwatch, timer(FILTER, type_of(plugin), name))
            for plugin, name in preferences
        ),
        profile.filter_names,
        profile.preference_names,
        profile.picker_name,
    )


class TimedProfile:
    """What a placing attempt needs of a profile."""

    def __init__(self, profile: Profile, stopwatch: Stopwatch) -> None:
        self.name = profile.name
        timed = _with_timers(profile, stopwatch)
        self.narrow, self.rank = timed.narrow, timed.rank
        self.decided, self.response_headers = profile.decided, profile.response_headers


class TimedStages:
    """What a placing attempt needs of several profiles and their handler."""

    def __init__(self, scheduler: StagedScheduler, stopwatch: Stopwatch) -> None:
        self.name = scheduler.name
        self.handler_type = scheduler.handler_type
        self.lists_fallbacks = scheduler.lists_fallbacks
        self.needs, self.decided = scheduler.needs, scheduler.decided
        self.response_headers = scheduler.response_headers
        self.common_authority = scheduler.common_authority
        self._scheduler = scheduler
        self._stopwatch = stopwatch
        self._profiles = {
            name: _with_timers(profile, stopwatch) for name, profile in scheduler.profiles.items()
        }
        kind = scheduler.handler_type
        self._choosing = stopwatch.timer(Part(PROFILE_PICKER, kind, scheduler.name))
        self._joining = stopwatch.timer(Part(PROCESS_RESULTS, kind, scheduler.name))

    def stages(self, request: RequestFacts) -> Sequence[Stage]:
        began = self._stopwatch.clock()
        stages = self._scheduler.stages(request)
        self._choosing.ran_since(began)
        return stages

    def narrow(
        self,
        stage: Stage,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        steps: list[Step],
    ) -> Sequence[Endpoint]:
        return self._profiles[stage.profile].narrow(request, endpoints, steps)

    def rank(
        self,
        stage: Stage,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        rng: random.Random,
        count: int,
        steps: list[Step],
    ) -> Scheduled:
        return self._profiles[stage.profile].rank(request, endpoints, rng, count, steps)

    def request_headers(self, picks: Picks) -> Mapping[str, str]:
        began = self._stopwatch.clock()
        headers = self._scheduler.request_headers(picks)
        self._joining.ran_since(began)
        return headers
