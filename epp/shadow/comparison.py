"""Shows decisions to shadow profiles and counts what they would have done.

Synchronous, between a decision and its reservation: so they see the very state that it saw. What
they take is paid from their share of the event loop's time. Nothing that they do can be seen by who
decides, but for that time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from epp.core.decision import DecisionRecord, ShadowPick, Step
from epp.core.endpoint import Endpoint
from epp.core.refusal import Refused
from epp.core.request import RequestFacts
from epp.core.shadows import ShadowCounts
from epp.shadow.book import Account
from epp.shadow.draws import NotedDraws, RepeatedDraws

NO_ROOM: Final = "no endpoint has room"


class Attempt(Protocol):
    """What a profile would decide now. Raises Refused."""

    def consider(
        self, facts: RequestFacts, now: float, rng: random.Random, steps: list[Step]
    ) -> DecisionRecord | None: ...


class Remembering(Protocol):
    """A stateful plugin."""

    def decided(
        self,
        state: Any,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        picked: Endpoint,
        now: float,
    ) -> None: ...
    def finished(
        self,
        state: Any,
        request: RequestFacts,
        picked: Endpoint,
        served: Endpoint,
        now: float,
    ) -> None: ...


class Memory(Protocol):
    @property
    def plugin(self) -> Remembering: ...
    @property
    def state(self) -> Any: ...


# Predicted cost of an endpoint less that of the record's pick, in seconds; None: not known. May
# leave on the request what it read.
Judge = Callable[[RequestFacts, DecisionRecord, Endpoint, float], float | None]


@dataclass(frozen=True, slots=True)
class Shadowing:
    """What shadows are told of the world. Without it they do not run."""

    clock: Callable[[], float]  # monotonic seconds
    rng: random.Random  # for which decisions they look at, and what they draw in addition
    on_failure: Callable[[str, Exception], None]  # profile and what a plugin raised; must not raise


@dataclass(slots=True, eq=False)
class Shadow:
    """One profile that looks on."""

    profile: str
    attempt: Attempt
    account: Account
    memories: Sequence[Memory]  # that are told what happens by this shadow alone
    reads_prefix: bool
    looks: bool = False  # at the decision that is being taken

    def pay(self, seconds: float) -> None:
        self.account.share.spend(seconds)
        self.account.counts.overhead_seconds += seconds


@dataclass(slots=True)
class Look:
    """What one shadow made of one decision."""

    pick: ShadowPick
    record: DecisionRecord | None = None  # of its own decision; None: it has no pick
    failed: bool = False


class Shadows:
    """All of a configuration. One loop is their only user."""

    def __init__(self, shadows: Sequence[Shadow], shadowing: Shadowing, judge: Judge) -> None:
        self._shadows = tuple(shadows)
        self._clock = shadowing.clock
        self._chance = shadowing.rng
        self._on_failure = shadowing.on_failure
        self._judge = judge
        self._draws = NotedDraws()
        self._again = RepeatedDraws(shadowing.rng)
        self._prefix_readers = [shadow for shadow in shadows if shadow.reads_prefix]

    @property
    def reads_prefix(self) -> bool:
        return bool(self._prefix_readers)

    @property
    def remembers(self) -> bool:
        return any(shadow.memories for shadow in self._shadows)

    def before(self, facts: RequestFacts, rng: random.Random) -> random.Random:
        """A decision begins: who looks at it is settled by time and chance.

        Returns what makes the draws of `rng`, for it to be taken with.
        """
        start = self._clock()
        looks = False
        for shadow in self._shadows:
            shadow.looks = facts.needs_room and shadow.account.share.may_compare(
                start, self._chance.random()
            )
            looks = looks or shadow.looks
        if looks:
            self._draws.begin(rng)
            rng = self._draws
        self._split(self._shadows, self._clock() - start)
        return rng

    def after(self, facts: RequestFacts, record: DecisionRecord, now: float) -> None:
        """It was decided, and nothing is reserved so far."""
        at = self._clock()
        picks: list[ShadowPick] = []
        for shadow in self._shadows:
            if not shadow.looks:
                if facts.needs_room:
                    shadow.account.counts.skipped += 1
                continue
            self._again.begin(self._draws)
            look = self._look(shadow, facts, record, now, self._again)
            _count(shadow.account.counts, look, record.picked[0])
            picks.append(look.pick)
            at = self._paid(shadow, at)
        record.shadows = tuple(picks)
        for shadow in self._shadows:
            if shadow.memories and shadow.account.share.may_keep_up(at):
                self._tell(shadow, facts, record, now)
                at = self._paid(shadow, at)

    def finished(self, facts: RequestFacts, picked: Endpoint, served: Endpoint, now: float) -> None:
        """`served` answered with success."""
        at = self._clock()
        for shadow in self._shadows:
            if not shadow.memories or not shadow.account.share.may_keep_up(at):
                continue
            try:
                for memory in shadow.memories:
                    memory.plugin.finished(memory.state, facts, picked, served, now)
            except Exception as error:
                self._failed(shadow, error)
            at = self._paid(shadow, at)

    def tried(
        self, facts: RequestFacts, record: DecisionRecord, now: float, seed: int
    ) -> list[Look]:
        """What each would make of a decision that is only tried. Neither counted nor paid."""
        return [
            self._look(shadow, facts, record, now, random.Random(seed)) for shadow in self._shadows
        ]

    def may_keep_up_prefixes(self) -> bool:
        now = self._clock()
        return any(s.account.share.may_keep_up(now) for s in self._prefix_readers)

    def pay_for_prefixes(self, seconds: float) -> None:
        self._split(self._prefix_readers, seconds)

    def _look(
        self,
        shadow: Shadow,
        facts: RequestFacts,
        record: DecisionRecord,
        now: float,
        rng: random.Random,
    ) -> Look:
        """Leaves the request as it was. `record` is of the decision that counts."""
        cached, estimate, adapter = facts.cached_tokens, facts.estimate, facts.adapter
        loads, waits = facts.adapter_loads, facts.adapter_waits
        facts.cached_tokens = {}
        try:
            other = shadow.attempt.consider(facts, now, rng, [])
            if other is None:
                return Look(ShadowPick(shadow.profile, problem=NO_ROOM))
            difference = self._judge(facts, record, other.picked[0], now)
            pick = ShadowPick(shadow.profile, other.picked, cost_difference_seconds=difference)
            return Look(pick, other)
        except Refused as refusal:
            return Look(ShadowPick(shadow.profile, problem=refusal.detail))
        except Exception as error:
            self._on_failure(shadow.profile, error)
            problem = f"failed: {type(error).__name__}"
            return Look(ShadowPick(shadow.profile, problem=problem), failed=True)
        finally:
            facts.cached_tokens, facts.estimate, facts.adapter = cached, estimate, adapter
            facts.adapter_loads, facts.adapter_waits = loads, waits

    def _tell(
        self, shadow: Shadow, facts: RequestFacts, record: DecisionRecord, now: float
    ) -> None:
        """What was really picked: so its plugins know the world as it is, whenever it decides."""
        try:
            for memory in shadow.memories:
                plugin, state = memory.plugin, memory.state
                plugin.decided(state, facts, record.candidates, record.picked[0], now)
        except Exception as error:
            self._failed(shadow, error)

    def _failed(self, shadow: Shadow, error: Exception) -> None:
        shadow.account.counts.failed += 1
        self._on_failure(shadow.profile, error)

    def _paid(self, shadow: Shadow, since: float) -> float:
        now = self._clock()
        shadow.pay(now - since)
        return now

    def _split(self, shadows: Sequence[Shadow], seconds: float) -> None:
        for shadow in shadows:
            shadow.pay(seconds / len(shadows))


def _count(counts: ShadowCounts, look: Look, picked: Endpoint) -> None:
    pick = look.pick
    if look.failed:
        counts.failed += 1
    elif not pick.picked:
        counts.not_placed += 1
    elif pick.picked[0] is picked:
        counts.agreed += 1
    else:
        counts.differed += 1
    difference = pick.cost_difference_seconds
    if difference is None or not math.isfinite(difference):
        return
    counts.predicted += 1
    if difference > 0.0:
        counts.lost_seconds += difference
    else:
        counts.saved_seconds -= difference
