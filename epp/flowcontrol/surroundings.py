"""What an attempt to place asks of other rooms and of chance, whatever profiles it runs."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from epp.core.decision import DecisionRecord, Lease, Replayable, Step
from epp.core.endpoint import Endpoint
from epp.core.refusal import Refused
from epp.core.request import RequestFacts
from epp.flowcontrol.candidates import within

# Steps of a decision that are not plugins of the document.
POOL: Final = "pool"  # the endpoints that can be reached
ROOM: Final = "room"  # as the saturation detector judges it

# What an attempt draws from, and what it will have read; None if it is not to be recorded.
Sample = Callable[[RequestFacts, float], tuple[random.Random, Replayable] | None]


class Shadows(Protocol):
    """Who looks on while it is decided, and changes nothing. Must not raise."""

    def before(self, facts: RequestFacts, rng: random.Random) -> random.Random:
        """It will be decided now. Returns what makes the draws of `rng` for that."""
        ...

    def after(self, facts: RequestFacts, record: DecisionRecord, now: float) -> None:
        """It was decided, and nothing is reserved so far."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    candidates: Callable[[], Sequence[Endpoint]]  # the endpoints that can be reached
    with_room: Callable[[Sequence[Endpoint], float], Sequence[Endpoint]] | None  # None: all
    # None: who decides does not look at prefixes, though others may.
    match_prefix: Callable[[Sequence[int], Sequence[Endpoint], float], dict[Endpoint, int]] | None
    reserve: Callable[[Endpoint, int, int], Lease]  # tokens of the prompt, of them not cached
    rng: random.Random
    estimate: Callable[[RequestFacts, Sequence[Endpoint], float], None] | None = None
    sample: Sample | None = None  # None: nothing is recorded to be taken again
    shadows: Shadows | None = None
    use_subset: bool = True
    max_fallbacks: int = 3  # listed after the pick for a gateway that takes lists

    def allowed(
        self, facts: RequestFacts, pool: Sequence[Endpoint], steps: list[Step] | None = None
    ) -> Sequence[Endpoint]:
        """Raises Refused where the gateway's hint names none of the pool."""
        return within(facts.subset if self.use_subset else None, pool, steps)

    def roomy(
        self, facts: RequestFacts, fitting: Sequence[Endpoint], now: float, steps: list[Step]
    ) -> Sequence[Endpoint]:
        """Those of the fitting where it may be placed now."""
        if not facts.needs_room or self.with_room is None:
            return fitting
        roomy = self.with_room(fitting, now)
        steps.append((ROOM, roomy))
        return roomy

    def has_room(self, endpoints: Sequence[Endpoint], now: float) -> bool:
        """Whether one more request may be placed on any of them."""
        return self.with_room is None or bool(self.with_room(endpoints, now))

    def saturation_candidates(self, facts: RequestFacts) -> Sequence[Endpoint]:
        """The endpoints whose saturation concerns a request."""
        try:
            return self.allowed(facts, self.candidates())
        except Refused:
            return ()


class Considering(Protocol):
    """An attempt, as far as it only decides."""

    @property
    def around(self) -> Surroundings: ...
    def consider(
        self, facts: RequestFacts, now: float, rng: random.Random, steps: list[Step]
    ) -> DecisionRecord | None: ...


def considered(attempt: Considering, facts: RequestFacts, now: float) -> DecisionRecord | None:
    """What the attempt decides, recorded with all that it read if it is chosen to be."""
    around = attempt.around
    if around.sample is None and around.shadows is None:
        return attempt.consider(facts, now, around.rng, [])
    headers = facts.headers
    sampled = None if around.sample is None else around.sample(facts, now)
    rng = around.rng if sampled is None else sampled[0]
    if around.shadows is not None:
        rng = around.shadows.before(facts, rng)
    try:
        record = attempt.consider(facts, now, rng, [])
    finally:
        facts.headers = headers  # which of them are looked at later is of no interest
    if record is None:
        return None
    if sampled is not None:
        record.snapshot = sampled[1]
    if around.shadows is not None:
        around.shadows.after(facts, record, now)
    return record
