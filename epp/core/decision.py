"""What became of a request: the closed set of decisions, and the record that every one yields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from epp.core.endpoint import Endpoint
from epp.core.refusal import Refused
from epp.core.request import RequestFacts
from epp.core.stages import Role, Skip

RECORD_VERSION: Final = 3

Step = tuple[str, Sequence[Endpoint]]  # of a decision: its name, and who was left after it


@dataclass(slots=True, eq=False)
class Lease:
    """Load held on one endpoint for one request. The ledger makes, moves and releases it."""

    endpoint: Endpoint
    prompt_tokens: int
    uncached_tokens: int  # of the prompt: what the endpoint has to compute, as far as we know
    prefilling: bool = True  # no first token so far
    role: Role = Role.DECODE  # what the endpoint does for the request
    held: bool = True


class Replayable(Protocol):
    """All that a decision read: enough to take it again."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able. Takes a while; may be called on another thread."""
        ...


@dataclass(slots=True)
class StageRecord:
    """What one profile came to beside the one that decodes. Lists are aligned with `candidates`."""

    role: Role
    profile: str
    skip: Skip | None = None  # why nothing is picked
    picked: tuple[Endpoint, ...] = ()  # best first
    candidates: Sequence[Endpoint] = ()
    totals: Sequence[float] = ()
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)
    cached_tokens: int = 0  # of the prompt, on the pick, as far as the index knows
    weights: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        return {
            "role": self.role.value,
            "profile": self.profile,
            "skip": "" if self.skip is None else self.skip.value,
            "picked": [endpoint.authority for endpoint in self.picked],
            "cached_tokens": self.cached_tokens,
            "candidates": _scored(self.candidates, self.totals, self.scores),
        }


@dataclass(frozen=True, slots=True)
class ShadowPick:
    """What a shadow profile would have decided in the place of the one that did."""

    profile: str
    picked: tuple[Endpoint, ...] = ()  # best first; empty: it would not have placed the request
    problem: str = ""  # why nothing is picked
    # Predicted, of all requests together: below zero if its pick is cheaper. None: not known.
    cost_difference_seconds: float | None = None

    def as_dict(self) -> dict[str, object]:
        return {
            "profile": self.profile,
            "picked": [endpoint.authority for endpoint in self.picked],
            "problem": self.problem,
            "cost_difference_seconds": self.cost_difference_seconds,
        }


@dataclass(slots=True)
class DecisionRecord:
    """Why a request went where it went. The one source of the log line, explain and replay.

    Lists are aligned with `candidates`. Holds no header and no prompt. Where several profiles ran,
    `profile` to `cached_tokens` are of the one that decodes.
    """

    request_id: str
    decided_at: float  # monotonic seconds
    waited_seconds: float  # in the waiting room
    model: str
    target_model: str
    flow: str
    priority: int
    prompt_tokens: int
    prefix_tokens: int  # of the prompt, that were looked up
    profile: str = ""  # empty when refused
    candidates: Sequence[Endpoint] = ()  # what the scorers saw
    totals: Sequence[float] = ()  # weighted sums
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)  # by scorer name
    weights: Mapping[str, float] = field(default_factory=dict)  # by scorer name
    steps: Sequence[Step] = ()  # how the pool became the candidates
    picked: tuple[Endpoint, ...] = ()  # best first; empty when refused
    cached_tokens: int = 0  # of the prompt, on the pick, as far as the index knows
    stages: tuple[StageRecord, ...] = ()  # the others, in the order in which they ran
    handler: str = ""  # instance that chose the profiles; empty where there is one profile alone
    handler_type: str = ""
    shadows: tuple[ShadowPick, ...] = ()  # of those that looked at this decision
    snapshot: Replayable | None = None  # only of those that were chosen to be recorded
    refusal: str = ""  # reason word
    detail: str = ""

    @property
    def disaggregation(self) -> str:
        """The roles that share the request, as in `encode-prefill-decode`; else `decode-only`."""
        shared = {stage.role for stage in self.stages if stage.picked}
        if not shared:
            return "decode-only"
        return "-".join([role.value for role in Role if role in shared or role is Role.DECODE])

    def as_dict(self) -> dict[str, object]:
        """A JSON-able form; names of endpoints are their authorities."""
        return {
            "version": RECORD_VERSION,
            "request_id": self.request_id,
            "decided_at": round(self.decided_at, 6),
            "waited_seconds": round(self.waited_seconds, 6),
            "model": self.model,
            "target_model": self.target_model,
            "flow": self.flow,
            "priority": self.priority,
            "prompt_tokens": self.prompt_tokens,
            "prefix_tokens": self.prefix_tokens,
            "cached_tokens": self.cached_tokens,
            "picked": [endpoint.authority for endpoint in self.picked],
            "profile": self.profile,
            "weights": dict(self.weights),
            "candidates": _scored(self.candidates, self.totals, self.scores),
            "stages": [stage.as_dict() for stage in self.stages],
            "handler": self.handler,
            "handler_type": self.handler_type,
            "shadows": [shadow.as_dict() for shadow in self.shadows],
            "refusal": self.refusal,
            "detail": self.detail,
        }


def _scored(
    candidates: Sequence[Endpoint],
    totals: Sequence[float],
    scores: Mapping[str, Sequence[float]],
) -> list[dict[str, object]]:
    return [
        {
            "endpoint": endpoint.authority,
            "total": round(total, 6),
            "scores": {name: round(given[i], 6) for name, given in scores.items()},
        }
        for i, (endpoint, total) in enumerate(zip(candidates, totals, strict=True))
    ]


def record_of(facts: RequestFacts, now: float) -> DecisionRecord:
    """A record of what was asked; what was decided is filled in by who decides."""
    since = facts.waiting_since
    return DecisionRecord(
        request_id=facts.request_id,
        decided_at=now,
        waited_seconds=0.0 if since is None else now - since,
        model=facts.model,
        target_model=facts.target_model,
        flow=facts.flow,
        priority=facts.priority,
        prompt_tokens=facts.prompt_tokens,
        prefix_tokens=facts.prefix_tokens,
    )


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Send it to the first; the others follow in the order in which a retry should try them."""

    ordered: tuple[Endpoint, ...]
    leases: tuple[Lease, ...] = ()  # of the first, to the end
    request_headers: Mapping[str, str] = field(default_factory=dict)
    response_headers: Mapping[str, str] = field(default_factory=dict)
    early_leases: tuple[Lease, ...] = ()  # of stages that end where the answer begins
    prefix_holders: tuple[Endpoint, ...] = ()  # that will hold the prompt, beside the first
    common_authority: str = ""  # host:port to send it to, where that is not the first's own
    # By authority of the one of `ordered` that answers; they come after those above.
    response_headers_by_server: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def destination(self) -> str:
        """host:port[,host:port...], as gateways are told."""
        if self.common_authority:
            return self.common_authority
        return ",".join([endpoint.authority for endpoint in self.ordered])

    def response_headers_of(self, served: str) -> Mapping[str, str]:
        """To set on a response of `served`, host:port; empty for the first in order."""
        if not self.response_headers_by_server:
            return self.response_headers
        if served in ("", self.common_authority):
            served = self.ordered[0].authority
        return {**self.response_headers, **self.response_headers_by_server.get(served, {})}


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer in place of a model server."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Decision = Endpoints | Answer


@dataclass(frozen=True, slots=True)
class Placed:
    """The load is already reserved when this value exists."""

    decision: Endpoints
    record: DecisionRecord


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not now. The outcome follows as an event, no later than `deadline`."""

    deadline: float  # monotonic seconds


Outcome = Placed | Answer | Refused
