"""The story of one request, on one page: read, identify, route, place, and at the end release.

Synchronous. What it needs of other rooms it says here, in protocols of one or two methods.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from epp.core.decision import Answer, Lease, Outcome, Placed, Waiting
from epp.core.endpoint import Endpoint
from epp.core.refusal import Reason, Refused
from epp.core.request import DEFAULT_FLOW, RequestFacts, bounded_name
from epp.core.stages import Role
from epp.core.stopwatch import Lap
from epp.estimation.stay import Stay
from epp.payloads.payload import Payload
from epp.payloads.request import with_model
from epp.telemetry.trace_context import TracePart


@dataclass(slots=True)
class Arrival:
    """A request whose body has come, or that is decided without one."""

    headers: Mapping[str, str]  # names in lower case, pseudo headers included
    body: bytes
    complete: bool  # false if the gateway cut the body or keeps it
    has_body: bool
    received_at: float
    subset: frozenset[str] | None = None
    takes_lists: bool = False
    control: Mapping[str, str] | None = None  # control values set by the gateway itself
    shows_answer: bool = True  # whether the body of the answer comes by us
    laps: list[Lap] | None = None  # to be filled while it is placed; None: nobody wants them

    @property
    def path(self) -> str:
        """Without the query."""
        return self.headers.get(":path", "").partition("?")[0]


class Gaps(Protocol):
    def observe(self, value: float) -> None:
        """So many seconds were between two chunks."""
        ...


@dataclass(slots=True, eq=False)
class Begun:
    """What became of an arrival. The outcome of one that waits is put here when it comes."""

    facts: RequestFacts
    body: bytes  # as it goes on: the very object that came unless a rule changed it
    outcome: Outcome | Waiting
    generated_request_id: str = ""
    api: str = ""  # family of the payload
    trace: TracePart | None = None  # None: it goes on with the trace headers it came with
    gaps: Gaps | None = None  # between chunks of the answer, if they are counted

    @property
    def placed(self) -> Placed | None:
        return self.outcome if isinstance(self.outcome, Placed) else None

    @property
    def refused(self) -> Refused | None:
        return self.outcome if isinstance(self.outcome, Refused) else None


class Cause(StrEnum):
    """How an exchange ended."""

    NATURAL = "natural"
    CLIENT_DISCONNECT = "client-disconnect"
    REFUSED = "refused"
    ANSWERED = "answered"  # by us, in place of a model server
    GATEWAY_ANSWERED = "gateway-answered"  # the gateway answered before we had decided


@dataclass(slots=True)
class Ending:
    """What was seen of a response. Times are monotonic seconds, None if it did not come so far."""

    cause: Cause
    status: int = 0
    served: str = ""  # host:port that answered; empty where the gateway does not say
    streaming: bool = False
    headers_at: float | None = None
    first_chunk_at: float | None = None
    completed_at: float | None = None
    response_bytes: int = 0
    handling_seconds: float = 0.0  # of our own time, for all messages of the response
    usage: Usage | None = None


class Usage(Protocol):
    """Token counts that a model server reported."""

    @property
    def prompt_tokens(self) -> int: ...
    @property
    def completion_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int | None: ...


class Router(Protocol):
    def objective_of(self, named: str, model: str) -> str:
        """`named` by someone whose word counts, empty if nobody; `model` is empty if unknown."""
        ...

    def priority_of(self, objective: str, model: str) -> int: ...
    def target_of(self, model: str, requested: str, spread_key: str) -> str:
        """The model name to send. `requested` comes from the rewrite header, empty if none."""
        ...


class Queue(Protocol):
    def place(self, facts: RequestFacts, now: float) -> Outcome | Waiting: ...
    def abandon(self, facts: RequestFacts) -> None: ...
    def something_changed(self, now: float) -> list[tuple[RequestFacts, Outcome]]: ...


class Load(Protocol):
    def prefilled(self, lease: Lease) -> bool: ...
    def move(self, lease: Lease, endpoint: Endpoint) -> None: ...
    def release(self, lease: Lease) -> bool: ...


class PrefixIndex(Protocol):
    def add(self, endpoint: Endpoint, blocks: Sequence[int]) -> Sequence[int]: ...
    def remove(self, endpoint: Endpoint, blocks: Sequence[int]) -> None: ...
    def recognize(self, blocks: Sequence[int], prompt: bytes) -> None: ...
    def answered(self, facts: RequestFacts, endpoint: Endpoint, tokens: int | None) -> None: ...
    def reported(self, request_id: str, endpoint: Endpoint, tokens: int) -> None: ...


class Estimates(Protocol):
    """Learns of every placement. Sequences are of leases whose prefill is over, as it is found."""

    def token_ratio(self, model: str) -> float: ...
    def over(self, now: float) -> Sequence[Lease]: ...
    def placed(
        self, facts: RequestFacts, lease: Lease, believed_tokens: int, now: float
    ) -> Stay: ...
    def moved(self, stay: Stay, endpoint: Endpoint, now: float) -> None: ...
    def first_token(self, stay: Stay, now: float) -> Sequence[Lease]: ...
    def prefilled(self, stay: Stay, succeeded: bool, now: float) -> Sequence[Lease]: ...
    def finished(
        self, stay: Stay, succeeded: bool, usage: Usage | None, now: float
    ) -> Sequence[Lease]: ...
    def reported(self, request_id: str, usage: Usage, now: float) -> Endpoint | None: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """How a request is read, as the configuration says. Swapped whole when that changes."""

    hash_prompt: Callable[[str, Payload], tuple[Sequence[int], int]]  # blocks, tokens in them
    control: Callable[[Arrival, str], str | None]  # a control value by name; None if absent
    session_headers: tuple[str, ...] = ()
    flow_headers: tuple[str, ...] = ()  # of a request without a fairness id


@dataclass(slots=True)
class Flight:
    """What one placed request holds."""

    leases: tuple[Lease, ...]
    early_leases: tuple[Lease, ...]
    credited: Sequence[int]  # prefix blocks that its endpoint did not have before
    credited_beside: tuple[tuple[Endpoint, Sequence[int]], ...]  # the same of earlier stages
    picked: Endpoint
    serves: Endpoint
    stay: Stay | None  # where it is answered; None if that holds no lease
    early_stays: tuple[Stay, ...]  # of who computes the prompt for it
    told: str  # host:port that the gateway knows `serves` by
    succeeded: bool = False  # so far as its response was seen


@dataclass(slots=True)
class Director:
    router: Router
    queue: Queue
    load: Load
    index: PrefixIndex
    estimates: Estimates
    read_payload: Callable[[Arrival], Payload]  # raises Refused for what no engine would take
    reading: Reading
    endpoint_at: Callable[[str], Endpoint | None]
    answer_for: Callable[[str, str, frozenset[str] | None], Answer | None]  # method, path, subset
    new_request_id: Callable[[], str]
    admit: Callable[[RequestFacts], None] = lambda _facts: None  # raises Refused
    # Request, endpoint picked, endpoint that served, time.
    succeeded: Callable[[RequestFacts, Endpoint, Endpoint, float], None] = lambda *_: None
    # Endpoint that answered, status, time; and the time at which pauses may be over.
    answered: Callable[[Endpoint, int, float], None] = lambda *_: None
    end_pauses: Callable[[float], None] = lambda _now: None
    _flights: dict[RequestFacts, Flight] = field(default_factory=dict)

    def begin(self, arrival: Arrival, now: float) -> Begun:
        headers = arrival.headers
        request_id = headers.get("x-request-id", "")
        generated = "" if request_id else self.new_request_id()
        path = arrival.path
        facts = RequestFacts(
            request_id=request_id or generated,
            received_at=arrival.received_at,
            path=path,
            headers=headers,
            subset=arrival.subset,
            takes_lists=arrival.takes_lists,
            needs_room=arrival.has_body,
            size_bytes=len(arrival.body),
            laps=arrival.laps,
        )
        begun = Begun(facts, arrival.body, Waiting(now), generated)
        try:
            answer = self.answer_for(headers.get(":method", ""), path, arrival.subset)
            if answer is not None:
                begun.outcome = answer
                return begun
            self._identify(begun, arrival)
            self.pass_time(now)
            if facts.needs_room:
                self.admit(facts)
            begun.outcome = self.queue.place(facts, now)
        except Refused as refusal:
            begun.outcome = refusal
        if isinstance(begun.outcome, Placed):
            self._take_off(facts, begun.outcome, now)
        return begun

    def responding(
        self,
        facts: RequestFacts,
        served: str,
        status: int,
        now: float,
        *,
        body_follows: bool = True,
    ) -> bool:
        """A server began to answer: the load moves to it, and only success earns the credit.

        Where the body is not shown to us, this is the last that is seen of the stages before the
        answer: their load is given back. Whether that made room.
        """
        flight = self._flights.get(facts)
        if flight is None:
            return False
        picked, moved = flight.serves, False
        server = picked if served in ("", flight.told) else self.endpoint_at(served)
        succeeded = flight.succeeded = 200 <= status < 300
        if server is not None:
            self.answered(server, status, now)
        if server is not None and server is not picked:
            for lease in flight.leases:
                if lease.endpoint is picked:
                    self.load.move(lease, server)
                    moved = True
            if flight.stay is not None:
                self.estimates.moved(flight.stay, server, now)
            flight.serves, flight.told = server, server.authority
        if not succeeded or server is not picked:
            self.index.remove(picked, flight.credited)
            if succeeded and server is not None:
                self.index.add(server, facts.prefix_blocks)
        if not succeeded:
            for endpoint, blocks in flight.credited_beside:
                self.index.remove(endpoint, blocks)
        ended = not body_follows and self._end_early(flight, succeeded, now)
        return moved or ended

    def first_token(self, facts: RequestFacts, now: float) -> bool:
        """A server has computed the prompt. Never told where the response is not seen.

        Whether that made room.
        """
        flight = self._flights.get(facts)
        if flight is None:
            return False
        self._end_prefills(flight.leases)
        for early in flight.early_stays:
            self._end_prefills(self.estimates.first_token(early, now))
        if flight.stay is not None:
            self._end_prefills(self.estimates.first_token(flight.stay, now))
        return self._end_early(flight, True, now)

    def finish(
        self, facts: RequestFacts, ending: Ending, now: float
    ) -> list[tuple[RequestFacts, Outcome]]:
        """However it ended. Returns the waiting requests whose turn this made."""
        self.queue.abandon(facts)
        flight = self._flights.pop(facts, None)
        if flight is None:
            return []
        if flight.succeeded:
            self.succeeded(facts, flight.picked, flight.serves, now)
        if not flight.leases:
            return []
        for lease in flight.leases:
            self.load.release(lease)
        succeeded = ending.cause is Cause.NATURAL and ending.status < 300
        if flight.stay is not None:
            proven = self.estimates.finished(flight.stay, succeeded, ending.usage, now)
            self._end_prefills(proven)
        if flight.succeeded or ending.usage is not None:
            tokens = None if ending.usage is None else ending.usage.completion_tokens
            self.index.answered(facts, flight.serves, tokens)
        self._end_early(flight, succeeded, now)
        return self.something_changed(now)

    def reported(self, request_id: str, usage: Usage, now: float) -> None:
        """Usage that came after the end, as the access log has it."""
        served = self.estimates.reported(request_id, usage, now)
        if served is not None:
            self.index.reported(request_id, served, usage.completion_tokens)

    def pass_time(self, now: float) -> None:
        """Prefills that are taken to be over by now end, and pauses of endpoints."""
        self.end_pauses(now)
        self._end_prefills(self.estimates.over(now))

    def something_changed(self, now: float) -> list[tuple[RequestFacts, Outcome]]:
        """Call after a scrape, a change of the pool, or the earliest deadline of a waiter."""
        self.pass_time(now)
        outcomes = self.queue.something_changed(now)
        for facts, outcome in outcomes:
            if isinstance(outcome, Placed):
                self._take_off(facts, outcome, now)
        return outcomes

    def __len__(self) -> int:
        """Requests that hold load."""
        return len(self._flights)

    def flights(self) -> list[tuple[RequestFacts, Flight]]:
        """Of these requests, in the order in which they were placed."""
        return list(self._flights.items())

    def _end_prefills(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            self.load.prefilled(lease)

    def _end_early(self, flight: Flight, succeeded: bool, now: float) -> bool:
        """The stages before the answer are over. Whether that is news."""
        if not flight.early_leases:
            return False
        for lease in flight.early_leases:
            self.load.release(lease)
        flight.early_leases = ()
        for stay in flight.early_stays:
            self._end_prefills(self.estimates.prefilled(stay, succeeded, now))
        flight.early_stays = ()
        return True

    def _take_off(self, facts: RequestFacts, placed: Placed, now: float) -> None:
        decision = placed.decision
        picked, stay = decision.ordered[0], None
        told = decision.common_authority or picked.authority
        early, estimates = decision.early_leases, self.estimates
        if decision.leases:
            believed = placed.record.cached_tokens
            stay = estimates.placed(facts, decision.leases[0], believed, now)
        prefills = [lease for lease in early if lease.role is Role.PREFILL]
        early_stays = tuple(
            [estimates.placed(facts, p, p.prompt_tokens - p.uncached_tokens, now) for p in prefills]
        )
        flight = Flight(decision.leases, early, (), (), picked, picked, stay, early_stays, told)
        self._flights[facts] = flight
        if facts.prefix_blocks:
            flight.credited = self.index.add(picked, facts.prefix_blocks)
            if decision.prefix_holders:
                flight.credited_beside = tuple(
                    [(e, self.index.add(e, facts.prefix_blocks)) for e in decision.prefix_holders]
                )

    def _identify(self, begun: Begun, arrival: Arrival) -> None:
        """Who asks for what: payload, priority, flow, target model. Raises Refused."""
        facts, reading = begun.facts, self.reading
        named = bounded_name(reading.control(arrival, "inference-objective") or "")
        facts.flow = bounded_name(
            reading.control(arrival, "inference-fairness-id")
            or _first(arrival.headers, reading.flow_headers)
            or DEFAULT_FLOW
        )
        facts.ttft_slo_seconds = _slo_seconds(reading.control(arrival, "slo-ttft-ms"))
        facts.session = _first(arrival.headers, reading.session_headers)
        if not arrival.has_body:
            self._rank(facts, named, "")
            return
        if (preferences := arrival.headers.get("prefer")) is not None:
            facts.only_if_cached = _prefers_cached(preferences)
        try:
            payload = self.read_payload(arrival)
        except Refused:
            self._rank(facts, named, "")
            raise
        begun.api = payload.api
        self._rank(facts, named, payload.model)
        facts.model = facts.target_model = payload.model
        facts.streaming = payload.streaming
        facts.shows_first_token = payload.streaming and arrival.shows_answer
        facts.media_tokens = payload.media_tokens
        facts.max_output_tokens = payload.max_output_tokens
        if payload.can_rewrite:
            requested = reading.control(arrival, "model-name-rewrite") or ""
            spread_key = facts.session or facts.request_id
            facts.target_model = self.router.target_of(payload.model, requested, spread_key)
            if not facts.target_model:
                raise Refused(Reason.BAD_REQUEST, "model not found in request body")
            if facts.target_model != payload.model:
                begun.body = with_model(arrival.body, facts.target_model)
        ratio = facts.token_ratio = self.estimates.token_ratio(facts.target_model)
        text_tokens = payload.prompt_tokens - payload.media_tokens
        facts.prompt_tokens = int(text_tokens * ratio + 0.5) + payload.media_tokens
        facts.prefix_blocks, tokens = reading.hash_prompt(facts.target_model, payload)
        facts.prefix_tokens = int(tokens * ratio)
        if facts.prefix_blocks:
            facts.prefix_bytes = len(payload.prompt)
            self.index.recognize(facts.prefix_blocks, payload.prompt)

    def _rank(self, facts: RequestFacts, named: str, model: str) -> None:
        facts.objective = self.router.objective_of(named, model)
        facts.priority = self.router.priority_of(facts.objective, model)


def _prefers_cached(preferences: str) -> bool:
    """`if-available` among the preferences of RFC 7240: decode only where the prompt is cached."""
    named = [part.partition(";")[0].strip().lower() for part in preferences.split(",")]
    return "if-available" in named


def _first(headers: Mapping[str, str], names: Sequence[str]) -> str:
    """The first of the named headers that is not empty."""
    for name in names:
        if found := headers.get(name):
            return found
    return ""


def _slo_seconds(milliseconds: str | None) -> float:
    """Infinite for what is no whole number of milliseconds from zero on."""
    if milliseconds and milliseconds.isascii() and milliseconds.isdigit():
        return int(milliseconds) / 1000 if len(milliseconds) <= 18 else math.inf
    return math.inf
