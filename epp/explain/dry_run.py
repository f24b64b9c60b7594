"""A request decided by a running picker, with nothing sent, reserved, counted or remembered."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from epp.compose import Picker
from epp.core.decision import (
    DecisionRecord,
    Endpoints,
    Lease,
    Outcome,
    Placed,
    Step,
    Waiting,
)
from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.director import Arrival, Director, Usage
from epp.estimation.estimation import Estimation
from epp.estimation.stay import Stay
from epp.explain.document import tried
from epp.explain.snapshot import Snapshot, capture
from epp.prefixcache.approximate import ApproximateIndex
from epp.routing.router import ModelRouter
from epp.shadow.comparison import Look


@dataclass(slots=True)
class Explained:
    """What became of a request, and why. `as_dict` takes a while: it needs no event loop."""

    facts: RequestFacts
    outcome: Outcome | Waiting
    ahead: int | None  # in line before it; None if it does not wait
    record: DecisionRecord | None  # None if nothing could be ranked
    steps: Sequence[Step]
    snapshot: Snapshot | None  # None if it came to no decision of the scheduler
    looks: Sequence[Look]  # of shadow profiles, where something could be ranked

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return tried(
            self.facts,
            self.outcome,
            self.ahead,
            self.record,
            self.steps,
            self.snapshot,
            self.looks,
        )


def explain(picker: Picker, arrival: Arrival, now: float, seed: int) -> Explained:
    """What `picker.director.begin` would come to now; draws are those of the seed."""
    picker.director.pass_time(now)
    trial = _Trial(picker, seed)
    director = Director(
        router=ModelRouter(picker.routing, lambda _rewrite, _model, _target: None),
        queue=trial,
        load=_Nowhere(),
        index=_Unchanged(picker.index),
        estimates=_Unlearning(picker.estimation),
        read_payload=picker.director.read_payload,
        reading=picker.director.reading,
        endpoint_at=picker.director.endpoint_at,
        answer_for=picker.director.answer_for,
        new_request_id=picker.director.new_request_id,
        admit=lambda facts: picker.configured.admit(facts, random.Random(seed + 1)),
    )
    begun = director.begin(arrival, now)
    return Explained(
        begun.facts,
        begun.outcome,
        trial.ahead,
        trial.record,
        trial.steps,
        trial.snapshot,
        trial.looks,
    )


@dataclass(slots=True)
class _Trial:
    """The director's queue, which tries and places nothing."""

    picker: Picker
    seed: int
    steps: list[Step] = field(default_factory=list)
    snapshot: Snapshot | None = None
    record: DecisionRecord | None = None
    ahead: int | None = None
    looks: Sequence[Look] = ()

    def place(self, facts: RequestFacts, now: float) -> Outcome | Waiting:
        picker, headers = self.picker, facts.headers
        self.snapshot = capture(picker, facts, now, self.seed)
        rng = random.Random(self.seed)
        self.record = picker.configured.attempt.consider(facts, now, rng, self.steps)
        if self.record is not None and (shadows := picker.configured.shadows) is not None:
            noting, facts.headers = facts.headers, headers  # what shadows look at is not noted
            self.looks = shadows.tried(facts, self.record, now, self.seed)
            facts.headers = noting
        placeable = self.record is not None
        self.ahead = picker.queue.preview(facts, now, placeable=placeable)
        if self.record is None or self.ahead is not None:
            return Waiting(now)
        return Placed(Endpoints(self.record.picked), self.record)

    def abandon(self, facts: RequestFacts) -> None:
        """It holds nothing."""

    def something_changed(self, now: float) -> list[tuple[RequestFacts, Outcome]]:
        return []


class _Nowhere:
    """Load that nobody holds: the director's `Load`."""

    def prefilled(self, lease: Lease) -> bool:
        return False

    def move(self, lease: Lease, endpoint: Endpoint) -> None:
        return

    def release(self, lease: Lease) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class _Unchanged:
    """What the index knows, without credit: the director's `PrefixIndex`."""

    index: ApproximateIndex

    def add(self, endpoint: Endpoint, blocks: Sequence[int]) -> Sequence[int]:
        return ()

    def remove(self, endpoint: Endpoint, blocks: Sequence[int]) -> None:
        return

    def recognize(self, blocks: Sequence[int], prompt: bytes) -> None:
        self.index.recognize(blocks, prompt)

    def answered(self, facts: RequestFacts, endpoint: Endpoint, tokens: int | None) -> None:
        return

    def reported(self, request_id: str, endpoint: Endpoint, tokens: int) -> None:
        return


@dataclass(frozen=True, slots=True)
class _Unlearning:
    """What was learned, without learning: the director's `Estimates` where nothing is placed."""

    estimation: Estimation

    def token_ratio(self, model: str) -> float:
        return self.estimation.token_ratio(model)

    def over(self, now: float) -> Sequence[Lease]:
        return ()

    def placed(self, facts: RequestFacts, lease: Lease, believed_tokens: int, now: float) -> Stay:
        raise AssertionError("nothing is placed")

    def moved(self, stay: Stay, endpoint: Endpoint, now: float) -> None:
        return

    def first_token(self, stay: Stay, now: float) -> Sequence[Lease]:
        return ()

    def prefilled(self, stay: Stay, succeeded: bool, now: float) -> Sequence[Lease]:
        return ()

    def finished(
        self, stay: Stay, succeeded: bool, usage: Usage | None, now: float
    ) -> Sequence[Lease]:
        return ()

    def reported(self, request_id: str, usage: Usage, now: float) -> Endpoint | None:
        return None
