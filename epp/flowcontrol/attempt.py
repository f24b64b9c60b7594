"""One attempt to place a request by one profile: candidates, room, schedule, reserve, in a step."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from epp.core.decision import Endpoints, Lease, Placed, record_of
from epp.core.endpoint import Endpoint
from epp.core.refusal import Reason, Refused
from epp.core.request import RequestFacts
from epp.flowcontrol.candidates import check_cached, with_fallbacks, within


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


class Scheduler(Protocol):
    @property
    def name(self) -> str: ...
    def narrow(
        self, request: RequestFacts, endpoints: Sequence[Endpoint]
    ) -> Sequence[Endpoint]: ...
    def rank(
        self,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        rng: random.Random,
        count: int,
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
    """None means not now; Refused means that waiting would not help."""

    scheduler: Scheduler
    candidates: Callable[[], Sequence[Endpoint]]  # the endpoints that can be reached
    with_room: Callable[[Sequence[Endpoint], float], Sequence[Endpoint]] | None  # None: all
    match_prefix: Callable[[Sequence[int], Sequence[Endpoint], float], Mapping[Endpoint, int]]
    reserve: Callable[[Endpoint, int, int], Lease]  # tokens of the prompt, of them not cached
    rng: random.Random
    estimate: Callable[[RequestFacts, Sequence[Endpoint], float], None] | None = None
    use_subset: bool = True
    max_endpoints: int = 1  # listed for every gateway
    max_fallbacks: int = 3  # listed after the pick for a gateway that takes lists

    def __call__(self, facts: RequestFacts, now: float) -> Placed | None:
        facts.attempted_at = now
        pool = self.candidates()
        if not pool:
            return None
        allowed = self._allowed(facts, pool)
        fitting = self.scheduler.narrow(facts, allowed)
        if not fitting:
            raise Refused(Reason.SATURATED, "no endpoints available for the given request", 1.0)
        roomy = fitting
        if facts.needs_room and self.with_room is not None:
            roomy = self.with_room(fitting, now)
        if not roomy:
            return None
        if facts.prefix_blocks:
            facts.cached_tokens = self.match_prefix(facts.prefix_blocks, roomy, facts.token_ratio)
        if self.estimate is not None:
            self.estimate(facts, roomy, now)
        count = 1 + self.max_fallbacks if facts.takes_lists else 1
        scheduled = self.scheduler.rank(facts, roomy, self.rng, max(count, self.max_endpoints))
        if facts.only_if_cached:
            check_cached(facts, scheduled.ordered[0])
        ordered = with_fallbacks(scheduled.ordered, fitting, count)
        return self._reserve(facts, scheduled, ordered, now)

    def saturation_candidates(self, facts: RequestFacts) -> Sequence[Endpoint]:
        """The endpoints whose saturation concerns a request."""
        try:
            return self._allowed(facts, self.candidates())
        except Refused:
            return ()

    def _allowed(self, facts: RequestFacts, pool: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return within(facts.subset if self.use_subset else None, pool)

    def _reserve(
        self,
        facts: RequestFacts,
        scheduled: Scheduled,
        ordered: tuple[Endpoint, ...],
        now: float,
    ) -> Placed:
        picked = ordered[0]
        record = record_of(facts, now)
        record.profile = self.scheduler.name
        record.candidates = scheduled.candidates
        record.totals = scheduled.totals
        record.scores = scheduled.scores
        record.picked = ordered
        record.cached_tokens = min(facts.cached_tokens.get(picked, 0), facts.prompt_tokens)
        leases: tuple[Lease, ...] = ()
        if facts.needs_room:
            tokens = facts.prompt_tokens
            leases = (self.reserve(picked, tokens, facts.uncached_on(picked)),)
        self.scheduler.decided(facts, scheduled.candidates, picked, now)
        headers = self.scheduler.response_headers(ordered)
        return Placed(Endpoints(ordered, leases, response_headers_by_server=headers), record)
