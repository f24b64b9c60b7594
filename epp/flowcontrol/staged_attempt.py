"""One attempt to place a request by several profiles: every stage that it needs, or none.

Schedules and reserves in one step, as the attempt with one profile does: no stage is reserved
before the last one is known to have room.
"""

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
    StageRecord,
    Step,
    record_of,
)
from epp.core.endpoint import Endpoint
from epp.core.refusal import Reason, Refused
from epp.core.request import RequestFacts
from epp.core.stages import Picks, Role, Skip, Stage
from epp.flowcontrol.attempt import Scheduled
from epp.flowcontrol.candidates import check_cached, with_fallbacks
from epp.flowcontrol.surroundings import POOL, Surroundings, considered
from epp.flowcontrol.timed import TimedTurns


class StagedScheduler(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def handler_type(self) -> str: ...
    @property
    def lists_fallbacks(self) -> bool: ...
    def stages(self, request: RequestFacts) -> Sequence[Stage]: ...
    def needs(self, stage: Stage, request: RequestFacts, decoder: Endpoint | None) -> bool: ...
    def narrow(
        self,
        stage: Stage,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        steps: list[Step],
    ) -> Sequence[Endpoint]: ...
    def rank(
        self,
        stage: Stage,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        rng: random.Random,
        count: int,
        steps: list[Step],
    ) -> Scheduled: ...
    def decided(
        self,
        profile: str,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        picked: Endpoint,
        now: float,
    ) -> None: ...
    def response_headers(
        self, profile: str, endpoints: Sequence[Endpoint]
    ) -> Mapping[str, Mapping[str, str]]: ...
    def request_headers(self, picks: Picks) -> Mapping[str, str]: ...
    def common_authority(self, decoder: Endpoint) -> str: ...


@dataclass(frozen=True, slots=True)
class StagedAttempt:
    """None means not now, for want of room where `full` says; Refused, that waiting is no help."""

    scheduler: StagedScheduler
    around: Surroundings
    timed: TimedTurns | None = None  # who makes some of the attempts in its place

    def pool(self) -> Sequence[Endpoint]:
        """Another object after every change."""
        return self.around.candidates()

    def has_room(self, endpoints: Sequence[Endpoint], now: float) -> bool:
        """Whether a stage whose profile fits these would have room."""
        return self.around.has_room(endpoints, now)

    def __call__(self, facts: RequestFacts, now: float) -> Placed | None:
        timed = self.timed
        if timed is not None:
            timed.left -= 1
            if timed.left <= 0 or facts.laps is not None:
                return timed(facts, now)
        record = considered(self, facts, now)
        return None if record is None else self._reserve(facts, record, now)

    def consider(
        self, facts: RequestFacts, now: float, rng: random.Random, steps: list[Step]
    ) -> DecisionRecord | None:
        """What would be decided now. Nothing is reserved, and no plugin remembers it.

        `steps` gets who is left after each, also where it ends in None or Refused. Where a stage
        begins, its profile is a step that all who are allowed are left after.
        """
        facts.attempted_at = now
        facts.peer, facts.full_profile, facts.cached_tokens = None, "", {}
        around = self.around
        pool = around.candidates()
        steps.append((POOL, pool))
        if not pool:
            facts.full = ()
            return None
        allowed = around.allowed(facts, pool, steps)
        if around.estimate is not None:
            around.estimate(facts, allowed, now)
        decoding: StageRecord | None = None
        others: list[StageRecord] = []
        for stage in self.scheduler.stages(facts):
            decodes = stage.role is Role.DECODE
            if not decodes and not facts.needs_room:
                continue  # a request without a body has nothing to encode or prefill
            steps.append((stage.profile, allowed))
            run = self._run(stage, facts, allowed, decoding, now, rng, steps)
            if run is None:
                facts.full_profile = stage.profile
                return None
            if decodes:
                decoding = run
            else:
                others.append(run)
            if facts.peer is None and run.picked:
                facts.peer = run.picked[0]
        if decoding is None:
            detail = f"no endpoints available for the given request: {self.scheduler.name}"
            raise Refused(Reason.SATURATED, f"{detail} runs no profile for it", 1.0)
        check_cached(facts, decoding.picked[0])
        for run in others:
            _leave_to_decoder(run, decoding.picked[0])
        return self._recorded(facts, decoding, others, steps, now)

    def _run(
        self,
        stage: Stage,
        facts: RequestFacts,
        allowed: Sequence[Endpoint],
        decoding: StageRecord | None,
        now: float,
        rng: random.Random,
        steps: list[Step],
    ) -> StageRecord | None:
        """None: there is no room, and the request has to wait for it."""
        record = StageRecord(stage.role, stage.profile)
        decodes = stage.role is Role.DECODE
        if stage.decider:
            decoder = None if decoding is None else decoding.picked[0]
            self._look_up(facts, allowed)
            if not self.scheduler.needs(stage, facts, decoder):
                record.skip = Skip.DECIDER
                return record
        fitting = self.scheduler.narrow(stage, facts, allowed, steps)
        if not fitting:
            if decodes:
                raise _nobody_fits(stage)
            record.skip = Skip.NO_ENDPOINTS
            return record
        roomy = self.around.roomy(facts, fitting, now, steps)
        if not roomy:
            record.skip = Skip.NO_ROOM
            if stage.skip_when_full:
                return record
            facts.full = fitting
            return None
        self._look_up(facts, allowed)
        count = 1 + self.around.max_fallbacks if decodes and facts.takes_lists else 1
        scheduled = self.scheduler.rank(stage, facts, roomy, rng, count, steps)
        ordered = tuple(scheduled.ordered)
        if stage.role is Role.PREFILL or (decodes and not self.scheduler.lists_fallbacks):
            ordered = ordered[:1]
        elif decodes:
            ordered = with_fallbacks(ordered, fitting, count)
        record.picked = ordered
        record.candidates = scheduled.candidates
        record.totals = scheduled.totals
        record.scores = scheduled.scores
        record.weights = scheduled.weights
        record.cached_tokens = min(facts.cached_tokens.get(ordered[0], 0), facts.prompt_tokens)
        return record

    def _look_up(self, facts: RequestFacts, allowed: Sequence[Endpoint]) -> None:
        """Once for all stages. Where nobody holds the prefix, a second time costs nothing."""
        match_prefix = self.around.match_prefix
        if match_prefix is not None and facts.prefix_blocks and not facts.cached_tokens:
            facts.cached_tokens = match_prefix(facts.prefix_blocks, allowed, facts.token_ratio)

    def _recorded(
        self,
        facts: RequestFacts,
        decoding: StageRecord,
        others: list[StageRecord],
        steps: Sequence[Step],
        now: float,
    ) -> DecisionRecord:
        record = record_of(facts, now)
        record.profile = decoding.profile
        record.candidates = decoding.candidates
        record.totals = decoding.totals
        record.scores = decoding.scores
        record.weights = decoding.weights
        record.steps = steps
        record.picked = decoding.picked
        record.cached_tokens = decoding.cached_tokens
        record.stages = tuple(others)
        record.handler = self.scheduler.name
        record.handler_type = self.scheduler.handler_type
        return record

    def _reserve(self, facts: RequestFacts, record: DecisionRecord, now: float) -> Placed:
        others, decoder = record.stages, record.picked[0]
        picks: dict[Role, Sequence[Endpoint]] = {Role.DECODE: record.picked}
        picks.update({run.role: run.picked for run in others if run.picked})
        leases: tuple[Lease, ...] = ()
        if facts.needs_room:
            tokens = facts.prompt_tokens
            uncached = 0 if Role.PREFILL in picks else tokens - record.cached_tokens
            leases = (self.around.reserve(decoder, tokens, uncached),)
        decision = Endpoints(
            record.picked,
            leases,
            self.scheduler.request_headers(picks),
            response_headers_by_server=self.scheduler.response_headers(
                record.profile, record.picked
            ),
            early_leases=self._early_leases(facts, others),
            prefix_holders=tuple(picks.get(Role.PREFILL, ())),
            common_authority=self.scheduler.common_authority(decoder),
        )
        facts.stage_picks = tuple([(run.profile, run.picked[0]) for run in others if run.picked])
        self.scheduler.decided(record.profile, facts, record.candidates, decoder, now)
        for run in others:
            if run.picked:
                self.scheduler.decided(run.profile, facts, run.candidates, run.picked[0], now)
        return Placed(decision, record)

    def _early_leases(
        self, facts: RequestFacts, others: Sequence[StageRecord]
    ) -> tuple[Lease, ...]:
        """Of who prefills, for the whole prompt; of who encodes, each for its share of the media.

        The sidecar deals images, videos and audio out to all encoders in turn.
        """
        leases: list[Lease] = []
        for run in others:
            tokens, uncached = facts.prompt_tokens, facts.prompt_tokens - run.cached_tokens
            if run.role is Role.ENCODE and run.picked:
                tokens = uncached = -(-facts.media_tokens // len(run.picked))
            for endpoint in run.picked:
                lease = self.around.reserve(endpoint, tokens, uncached)
                lease.role = run.role
                leases.append(lease)
        return tuple(leases)


def _leave_to_decoder(run: StageRecord, decoder: Endpoint) -> None:
    """An endpoint that decodes needs nobody to tell it to do another stage itself."""
    if decoder in run.picked:
        run.picked = tuple([endpoint for endpoint in run.picked if endpoint is not decoder])
        if not run.picked:
            run.skip = Skip.SAME_ENDPOINT


def _nobody_fits(stage: Stage) -> Refused:
    detail = "no endpoints available for the given request: none passes the filters of profile"
    return Refused(Reason.SATURATED, f"{detail} '{stage.profile}'", 1.0)
