"""Several profiles and the handler that says which of them a request runs through."""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from epp.core.decision import Step
from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.core.stages import Picks, Role, Stage
from epp.scheduling.interfaces import Decider, ProfileHandler
from epp.scheduling.profile import PluginFault, Profile, Scheduled


@dataclass(frozen=True, slots=True)
class StagedScheduler:
    """Without memory or load: the attempt to place a request walks its stages."""

    name: str  # of the handler's instance
    handler: ProfileHandler
    profiles: Mapping[str, Profile]  # in the order of the document
    deciders: Mapping[str, Decider]
    for_all: Sequence[Stage] | None = field(init=False)  # None: they depend on the request

    def __post_init__(self) -> None:
        for_all: Sequence[Stage] | None = None
        if not self.handler.reads_request:
            for_all = self._checked(self.handler.stages(RequestFacts(""), tuple(self.profiles)))
        object.__setattr__(self, "for_all", for_all)

    def with_new_memory(self) -> StagedScheduler:
        """The same profiles, whose plugins remember nothing so far."""
        fresh = {name: profile.with_new_memory() for name, profile in self.profiles.items()}
        return StagedScheduler(self.name, self.handler, fresh, self.deciders)

    def with_memory_of(self, before: Mapping[str, Profile]) -> StagedScheduler:
        """The same profiles, which remember what those of the same name did before."""
        made = {name: profile.with_memory_of(before) for name, profile in self.profiles.items()}
        return StagedScheduler(self.name, self.handler, made, self.deciders)

    @property
    def what_fits(self) -> Hashable:
        """All that `fit_key` is made of: where it is equal, so are the classes of requests."""
        filters = tuple((name, profile.what_fits) for name, profile in self.profiles.items())
        return self.handler, tuple(self.deciders.items()), filters

    @property
    def handler_type(self) -> str:
        return self.handler.type_name

    @property
    def usual_profile(self) -> str:
        """The one that decodes a request without headers, else the first."""
        stages = self.stages(RequestFacts(""))
        return next((s.profile for s in stages if s.role is Role.DECODE), next(iter(self.profiles)))

    @property
    def lists_fallbacks(self) -> bool:
        return self.handler.lists_fallbacks

    @property
    def reads_prefix(self) -> bool:
        """Whether `request.cached_tokens` must be filled before a stage runs."""
        return any(decider.reads_prefix for decider in self.deciders.values()) or any(
            profile.reads_prefix for profile in self.profiles.values()
        )

    @property
    def reads_costs(self) -> bool:
        """Whether what was learned must be on the request before a stage runs."""
        return any(profile.reads_costs for profile in self.profiles.values())

    def stages(self, request: RequestFacts) -> Sequence[Stage]:
        """In order; exactly one decodes. Empty where the handler runs no profile."""
        if self.for_all is not None:
            return self.for_all
        return self._checked(self.handler.stages(request, tuple(self.profiles)))

    def fit_key(self, request: RequestFacts) -> Hashable:
        """Requests with equal keys need the same stages and fit the same endpoints in each."""
        return tuple(
            (
                stage.profile,
                self.profiles[stage.profile].fit_key(request),
                self.deciders[stage.decider].fit_key(request) if stage.decider else None,
            )
            for stage in self.stages(request)
        )

    def needs(self, stage: Stage, request: RequestFacts, decoder: Endpoint | None) -> bool:
        """What the stage's decider says. `decoder` is None as long as none is picked."""
        return self.deciders[stage.decider].needed(request, decoder)

    def narrow(
        self,
        stage: Stage,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        steps: list[Step] | None = None,
    ) -> Sequence[Endpoint]:
        return self.profiles[stage.profile].narrow(request, endpoints, steps)

    def rank(
        self,
        stage: Stage,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        rng: random.Random,
        count: int,
        steps: list[Step] | None = None,
    ) -> Scheduled:
        return self.profiles[stage.profile].rank(request, endpoints, rng, count, steps)

    def decided(
        self,
        profile: str,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        picked: Endpoint,
        now: float,
    ) -> None:
        """What the profile chose among `endpoints` holds: the request is placed."""
        self.profiles[profile].decided(request, endpoints, picked, now)

    def finished(
        self, request: RequestFacts, picked: Endpoint, served: Endpoint, now: float
    ) -> None:
        """`served` answered with success, so the stages before did their part."""
        for stage in self.stages(request):
            if stage.role is Role.DECODE:
                self.profiles[stage.profile].finished(request, picked, served, now)
        for profile, endpoint in request.stage_picks:
            # The configuration may have changed since the request was placed.
            if (known := self.profiles.get(profile)) is not None:
                known.finished(request, endpoint, endpoint, now)

    def response_headers(
        self, profile: str, endpoints: Sequence[Endpoint]
    ) -> Mapping[str, Mapping[str, str]]:
        """By authority of the endpoint that serves, one of these, which `profile` picked."""
        return self.profiles[profile].response_headers(endpoints)

    def request_headers(self, picks: Picks) -> Mapping[str, str]:
        return self.handler.request_headers(picks)

    def common_authority(self, decoder: Endpoint) -> str:
        return self.handler.common_authority(decoder)

    def _checked(self, stages: Sequence[Stage]) -> Sequence[Stage]:
        decodes = [stage for stage in stages if stage.role is Role.DECODE]
        if stages and len(decodes) != 1:
            raise PluginFault(f"{self.name}: not exactly one of its stages decodes")
        if any(stage.decider or stage.skip_when_full for stage in decodes):
            raise PluginFault(f"{self.name}: the stage that decodes may be left out")
        for stage in stages:
            unknown = stage.profile not in self.profiles
            if unknown or (stage.decider and stage.decider not in self.deciders):
                raise PluginFault(f"{self.name}: stage {stage} names what is not configured")
        return stages
