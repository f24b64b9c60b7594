"""What became of a request: the closed set of decisions, and the record that every one yields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from epp.core.endpoint import Endpoint
from epp.core.refusal import Refused
from epp.core.request import RequestFacts

RECORD_VERSION: Final = 1


@dataclass(slots=True, eq=False)
class Lease:
    """Load held on one endpoint for one request. The ledger makes, moves and releases it."""

    endpoint: Endpoint
    prompt_tokens: int
    uncached_tokens: int  # of the prompt: what the endpoint has to compute, as far as we know
    prefilling: bool = True  # no first token so far
    held: bool = True


@dataclass(slots=True)
class DecisionRecord:
    """Why a request went where it went. The one source of the log line, explain and replay.

    Lists are aligned with `candidates`. Holds no header and no prompt.
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
    candidates: Sequence[Endpoint] = ()  # what the scorers saw
    totals: Sequence[float] = ()  # weighted sums
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)  # by scorer name
    picked: tuple[Endpoint, ...] = ()  # best first; empty when refused
    cached_tokens: int = 0  # of the prompt, on the pick, as far as the index knows
    refusal: str = ""  # reason word
    detail: str = ""

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
            "candidates": [
                {
                    "endpoint": endpoint.authority,
                    "total": round(total, 6),
                    "scores": {name: round(s[i], 6) for name, s in self.scores.items()},
                }
                for i, (endpoint, total) in enumerate(
                    zip(self.candidates, self.totals, strict=True)
                )
            ],
            "refusal": self.refusal,
            "detail": self.detail,
        }


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
    leases: tuple[Lease, ...] = ()
    request_headers: Mapping[str, str] = field(default_factory=dict)
    response_headers: Mapping[str, str] = field(default_factory=dict)
    # By authority of the one of `ordered` that answers; they come after those above.
    response_headers_by_server: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def response_headers_of(self, served: str) -> Mapping[str, str]:
        """To set on a response of `served`, host:port; empty for the first in order."""
        if not self.response_headers_by_server:
            return self.response_headers
        served = served or self.ordered[0].authority
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
