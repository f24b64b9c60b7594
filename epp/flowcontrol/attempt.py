"""One attempt to place a request by one profile: candidates, room, schedule, reserve, in a step."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from epp.core.decision import (
    DecisionRecord,
    Endpoints,
    Lease,
    Placed,
    Replayable,
    Step,
    record_of,
)
from epp.core.endpoint import Endpoint
from epp.core.refusal import Reason, Refused
from epp.core.request import RequestFacts
from epp.flowcontrol.candidates import check_cached, with_fallbacks, within

# Steps of a decision that are not plugins of the document.
POOL: Final = "pool"  # the endpoints that can be reached
ROOM: Final = "room"  # as the saturation detector judges it


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


# What an attempt draws from, and what it will have read; None if it is not to be recorded.
Sample = Callable[[RequestFacts, float], tuple[random.Random, Replayable] | None]


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
    sample: Sample | None = None  # None: nothing is recorded to be taken again
    use_subset: bool = True
    max_endpoints: int = 1  # listed for every gateway
    max_fallbacks: int = 3  # listed after the pick for a gateway that takes lists

    def __call__(self, facts: RequestFacts, now: float) -> Placed | None:
        record = considered(self, facts, now)
        if record is None:
            return None
        picked = record.picked[0]
        leases: tuple[Lease, ...] = ()
        if facts.needs_room:
            tokens = facts.prompt_tokens
            leases = (self.reserve(picked, tokens, facts.uncached_on(picked)),)
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
        pool = self.candidates()
        steps.append((POOL, pool))
        if not pool:
            return None
        allowed = within(facts.subset if self.use_subset else None, pool, steps)
        fitting = self.scheduler.narrow(facts, allowed, steps)
        if not fitting:
            raise Refused(Reason.SATURATED, "no endpoints available for the given request", 1.0)
        roomy = fitting
        if facts.needs_room and self.with_room is not None:
            roomy = self.with_room(fitting, now)
            steps.append((ROOM, roomy))
        if not roomy:
            return None
        if facts.prefix_blocks:
            facts.cached_tokens = self.match_prefix(facts.prefix_blocks, roomy, facts.token_ratio)
        if self.estimate is not None:
            self.estimate(facts, roomy, now)
        count = 1 + self.max_fallbacks if facts.takes_lists else 1
        scheduled = self.scheduler.rank(facts, roomy, rng, max(count, self.max_endpoints), steps)
        if facts.only_if_cached:
            check_cached(facts, scheduled.ordered[0])
        ordered = with_fallbacks(scheduled.ordered, fitting, count)
        return self._recorded(facts, scheduled, ordered, steps, now)

    def saturation_candidates(self, facts: RequestFacts) -> Sequence[Endpoint]:
        """The endpoints whose saturation concerns a request."""
        try:
            return within(facts.subset if self.use_subset else None, self.candidates())
        except Refused:
            return ()

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
        return record


class Considering(Protocol):
    """An attempt, as far as it only decides."""

    @property
    def rng(self) -> random.Random: ...
    @property
    def sample(self) -> Sample | None: ...
    def consider(
        self, facts: RequestFacts, now: float, rng: random.Random, steps: list[Step]
    ) -> DecisionRecord | None: ...


def considered(attempt: Considering, facts: RequestFacts, now: float) -> DecisionRecord | None:
    """What the attempt decides, recorded with all that it read if it is chosen to be."""
    if attempt.sample is None:
        return attempt.consider(facts, now, attempt.rng, [])
    headers = facts.headers
    sampled = attempt.sample(facts, now)
    if sampled is None:
        return attempt.consider(facts, now, attempt.rng, [])
    rng, snapshot = sampled
    try:
        record = attempt.consider(facts, now, rng, [])
    finally:
        facts.headers = headers  # which of them are looked at later is of no interest
    if record is not None:
        record.snapshot = snapshot
    return record
