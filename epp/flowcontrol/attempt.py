"""One attempt to place a request by one profile: candidates, room, schedule, reserve, in a step."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from epp.core.decision import (
    DecisionRecord,
    Endpoints,
    Lease,
    Placed,
    Step,
    record_of,
)
from epp.core.endpoint import Endpoint
from epp.core.refusal import Reason, Refused
from epp.core.request import RequestFacts
from epp.flowcontrol.candidates import check_cached, with_fallbacks
from epp.flowcontrol.surroundings import POOL, Surroundings, considered
from epp.flowcontrol.timed import TimedTurns


class Scheduled(Protocol):
    """What a scheduler chose, and why. Lists are aligned with `candidates`."""

    @property
    def ordered(self) -> Sequence[Endpoint]: ...
    @property
    def candidates(self) -> Sequence[Endpoint]: ...
    @property
    def totals(self) -> Sequence[float]: ...
    @property
    def scores(self) -> Mapping[str, Sequence[float]]: ...
    @property
    def weights(self) -> Mapping[str, float]: ...


class Scheduler(Protocol):
    @property
    def name(self) -> str: ...
    def narrow(
        self, request: RequestFacts, endpoints: Sequence[Endpoint], steps: list[Step]
    ) -> Sequence[Endpoint]: ...
    def rank(
        self,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        rng: random.Random,
        count: int,
        steps: list[Step],
    ) -> Scheduled: ...
    def decided(
        self,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        picked: Endpoint,
        now: float,
    ) -> None: ...
    def response_headers(
        self, endpoints: Sequence[Endpoint]
    ) -> Mapping[str, Mapping[str, str]]: ...


@dataclass(frozen=True, slots=True)
class PlacingAttempt:
    """None means not now, for want of room where `full` says; Refused, that waiting is no help."""

    scheduler: Scheduler
    around: Surroundings
    timed: TimedTurns | None = None  # who makes some of the attempts in its place

    def pool(self) -> Sequence[Endpoint]:
        """Another object after every change."""
        return self.around.candidates()

    def has_room(self, endpoints: Sequence[Endpoint], now: float) -> bool:
        """Whether a request that fits these would be placed."""
        return self.around.has_room(endpoints, now)

    def __call__(self, facts: RequestFacts, now: float) -> Placed | None:
        timed = self.timed
        if timed is not None:
            timed.left -= 1
            if timed.left <= 0 or facts.laps is not None:
                return timed(facts, now)
        record = considered(self, facts, now)
        if record is None:
            return None
        picked = record.picked[0]
        leases: tuple[Lease, ...] = ()
        if facts.needs_room:
            uncached = facts.uncached_on(picked)
            leases = (self.around.reserve(picked, facts.prompt_tokens, uncached),)
        self.scheduler.decided(facts, record.candidates, picked, now)
        by_server = self.scheduler.response_headers(record.picked)
        return Placed(
            Endpoints(record.picked, leases, response_headers_by_server=by_server), record
        )

    def consider(
        self, facts: RequestFacts, now: float, rng: random.Random, steps: list[Step]
    ) -> DecisionRecord | None:
        """What would be decided now. Nothing is reserved, and nobody remembers it.

        `steps` gets who is left after each, also where it ends in None or Refused.
        """
        facts.attempted_at = now
        around = self.around
        pool = around.candidates()
        steps.append((POOL, pool))
        if not pool:
            facts.full = ()
            return None
        allowed = around.allowed(facts, pool, steps)
        fitting = self.scheduler.narrow(facts, allowed, steps)
        if not fitting:
            raise Refused(Reason.SATURATED, "no endpoints available for the given request", 1.0)
        roomy = around.roomy(facts, fitting, now, steps)
        if not roomy:
            facts.full = fitting
            return None
        match_prefix = around.match_prefix
        if match_prefix is not None and facts.prefix_blocks:
            facts.cached_tokens = match_prefix(facts.prefix_blocks, roomy, facts.token_ratio)
        if around.estimate is not None:
            around.estimate(facts, roomy, now)
        count = 1 + around.max_fallbacks if facts.takes_lists else 1
        scheduled = self.scheduler.rank(facts, roomy, rng, count, steps)
        if facts.only_if_cached:
            check_cached(facts, scheduled.ordered[0])
        ordered = with_fallbacks(scheduled.ordered, fitting, count)
        return self._recorded(facts, scheduled, ordered, steps, now)

    def _recorded(
        self,
        facts: RequestFacts,
        scheduled: Scheduled,
        ordered: tuple[Endpoint, ...],
        steps: Sequence[Step],
        now: float,
    ) -> DecisionRecord:
        record = record_of(facts, now)
        record.profile = self.scheduler.name
        record.candidates = scheduled.candidates
        record.totals = scheduled.totals
        record.scores = scheduled.scores
        record.weights = scheduled.weights
        record.steps = steps
        record.picked = ordered
        record.cached_tokens = min(facts.cached_tokens.get(ordered[0], 0), facts.prompt_tokens)
        if self.around.match_prefix is None:
            record.prefix_tokens = 0
        return record
