"""One run: clients, a composed picker and a fleet of engines in virtual time.

The director and its rooms are those that serve traffic, from the same `compose`; this is the shell
that takes the place of Envoy, the network, the scraper and the clock.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from random import Random
from typing import Any, Final

from epp.compose import Picker, compose
from epp.config.settings import Configuration
from epp.configured import Outside
from epp.core.decision import Answer, Outcome, Placed, Waiting
from epp.core.refusal import Refused
from epp.core.request import RequestFacts
from epp.director import Arrival, Cause, Ending
from epp.payloads.passthrough import API as PASSED_ON
from epp.payloads.payload import Payload
from epp.simulation.fleet.clients import Ask, Clients
from epp.simulation.fleet.engine import FleetEngine
from epp.simulation.fleet.faults import Fault, late_servers
from epp.simulation.fleet.flights import Flight
from epp.simulation.fleet.oracle import Nobody, Onlooker, Oracle
from epp.simulation.fleet.prompts import payload_of
from epp.simulation.fleet.records import Record, RunRecords, ServerUse
from epp.simulation.fleet.requests import FleetRequest
from epp.simulation.fleet.servers import Server
from epp.simulation.fleet.settings import RunSettings
from epp.simulation.fleet.sidecars import Sidecars
from epp.simulation.fleet.transfers import Links
from epp.simulation.workloads.turns import Turn

PATH: Final = "/v1/chat/completions"
LOOK_AGAIN_SECONDS: Final = 0.25  # as the switchboard does while somebody waits
# Until the client of a request that got no answer goes on; without it one that is refused at once
# would ask for ever at the same moment.
ASK_AGAIN_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Tokens:
    """The usage of an answer."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None


class FleetRun:
    """Deterministic: equal settings, configuration and clients give equal records."""

    def __init__(
        self, settings: RunSettings, configuration: Configuration, clients: Clients
    ) -> None:
        self.settings = settings
        self.now = 0.0
        start = settings.warmup_seconds
        self.records = RunRecords((start, start + settings.window_seconds))
        self._rng = Random(settings.seed)
        self._clients = clients
        self._asked = Payload("")  # what `begin` is about to read
        outside = Outside(
            rng=Random(self._rng.random()),
            new_request_id=lambda: "",
            read_payload=lambda _arrival: self._asked,
            measure_payload=lambda _arrival: Payload(
                PASSED_ON, prompt_tokens=self._asked.prompt_tokens
            ),
        )
        self._onlooker: Onlooker = Nobody()
        if settings.oracle:
            oracle = self._onlooker = Oracle()
            configuration = replace(configuration, profile=oracle.profile, staged=None)
        self.picker: Picker = compose(configuration, outside)
        self.servers = [
            Server(n, profile, settings.fleet, Random(self._rng.random()))
            for n, profile in enumerate(settings.fleet.profiles)
        ]
        self.records.servers = [ServerUse(s.role) for s in self.servers]
        self._onlooker.begins(self.servers)
        late = late_servers(settings.faults)
        self._in_pool = [server for server in self.servers if server.number not in late]
        self._by_name = {server.name: server for server in self.servers}
        by_authority = {f"{s.spec.address}:{s.spec.port}": s for s in self.servers}
        links = Links(settings.fleet.links, len(self.servers))
        self._sidecars = Sidecars(self, links, by_authority)
        self._events: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._order = count()
        self._ids = count(1)
        self._flights: dict[FleetRequest, Flight] = {}
        self._waiting: dict[RequestFacts, Flight] = {}
        self._timer_at = math.inf
        self._open = 0  # measured requests without an end

    def run(self) -> RunRecords:
        settings, events = self.settings, self._events
        self._apply_pool()
        for server in self.servers:
            self.at(self._rng.random() * settings.scrape_seconds, self._scrape, server)
        for fault in settings.faults:
            self.at(fault.at_seconds, self._strike, fault)
        self._expect(self._clients.next_start())
        asked_until = self.records.window[1]
        while events and events[0][0] <= asked_until + settings.drain_seconds:
            self.now, _, act, what = heapq.heappop(events)
            act(what)
            if self.now > asked_until and not self._open:
                break
        self.records.ended_at = self.now
        return self.records

    # Clients.

    def _expect(self, ask: Ask | None) -> None:
        """The next session that begins by itself."""
        if ask is not None:
            self.at(ask[0], self._begin_session, ask)

    def _begin_session(self, ask: Ask) -> None:
        self._ask(ask)
        self._expect(self._clients.next_start())

    def _ask(self, ask: Ask) -> None:
        at, turn, session = ask
        if at >= self.records.window[1]:
            return  # what comes after the window is not of interest
        request = FleetRequest(turn.segments, turn.output_tokens, turn.answer, turn.model)
        record = Record(at, request.prompt_tokens, turn.output_tokens, turn.objective, turn.flow)
        if at >= self.records.window[0]:
            self.records.requests.append(record)
            self._open += 1
        self._asked = payload_of(turn, self.settings.bytes_per_token)
        arrival = self._arrival(turn)
        self._onlooker.asks(arrival.headers["x-request-id"], request)
        begun = self.picker.director.begin(arrival, at)
        flight = Flight(turn, session, record, begun.facts, request)
        if isinstance(begun.outcome, Waiting):
            self._waiting[begun.facts] = flight
            self.records.most_waiting = max(self.records.most_waiting, len(self._waiting))
            self._set_timer()
        else:
            self._settle(flight, begun.outcome)

    def _arrival(self, turn: Turn) -> Arrival:
        headers = {":method": "POST", ":path": PATH, "x-request-id": str(next(self._ids))}
        if turn.objective:
            headers["x-llm-d-inference-objective"] = turn.objective
        if turn.flow:
            headers["x-llm-d-inference-fairness-id"] = turn.flow
        if turn.session:
            headers["x-session-id"] = turn.session
        return Arrival(
            headers,
            b"",
            complete=True,
            has_body=True,
            received_at=self.now,
            shows_answer=self.settings.sees_tokens,
        )

    def _ended(self, flight: Flight) -> None:
        record = flight.record
        if record.asked_at >= self.records.window[0]:
            self._open -= 1
        following = self._clients.after(
            flight.session, self.now if record.served else self.now + ASK_AGAIN_SECONDS
        )
        if following is not None:
            self.at(following[0], self._ask, following)

    # The picker.

    def _settle(self, flight: Flight, outcome: Outcome) -> None:
        self._onlooker.decided(flight.facts.request_id)
        match outcome:
            case Placed():
                self._send(flight, outcome)
            case Refused():
                flight.record.refusal = outcome.reason.value
                self.picker.director.finish(flight.facts, Ending(Cause.REFUSED), self.now)
                self._ended(flight)
            case Answer():
                raise AssertionError("no simulated request is answered by the picker")

    def _send(self, flight: Flight, placed: Placed) -> None:
        record = flight.record
        server = flight.server = self._by_name[placed.decision.ordered[0].name]
        record.server = server.number
        self._onlooker.sent(server, flight.request)
        record.waited_seconds = placed.record.waited_seconds
        record.expected_cached_tokens = placed.record.cached_tokens
        network = self.settings.network_seconds
        if self._sidecars.share(flight, placed.decision.request_headers):
            self.at(self.now + 2 * network, self._sidecars.begin, flight)
        else:
            self.at(self.now + network, self.deliver, flight)

    def _told(self, outcomes: list[tuple[RequestFacts, Outcome]]) -> None:
        for facts, outcome in outcomes:
            self._settle(self._waiting.pop(facts), outcome)
        if self._waiting:
            self._set_timer()

    def _something_changed(self) -> None:
        if self._waiting:
            self._told(self.picker.director.something_changed(self.now))

    def _set_timer(self) -> None:
        deadline = self.picker.queue.next_deadline()
        if deadline is None:
            return
        deadline = max(self.now, min(deadline, self.now + LOOK_AGAIN_SECONDS))
        if deadline < self._timer_at:
            self._timer_at = deadline
            self.at(deadline, self._on_timer, deadline)

    def _on_timer(self, at: float) -> None:
        if at == self._timer_at:  # else it was set to an earlier time since
            self._timer_at = math.inf
            self._something_changed()

    # The servers.

    def deliver(self, flight: Flight) -> None:
        assert flight.server is not None
        self._onlooker.arrived(flight.server, flight.request)
        if self.submit(flight, flight.request):
            seen = self.settings.sees_tokens
            director = self.picker.director
            if director.responding(flight.facts, "", 200, self.now, body_follows=seen):
                self._something_changed()

    def submit(self, flight: Flight, request: FleetRequest) -> bool:
        server = flight.where(request)
        assert server is not None
        if not server.up:
            self._lose(flight, 503)
            return False
        if not server.engine.can_hold(request):
            self._lose(flight, 400)
            return False
        self._flights[request] = flight
        idle = server.engine.idle
        server.engine.submit(request, self.now)
        if server.engine.fetched:
            self._fetched(server.engine)
        if idle:
            self.at(server.engine.ends_at, self.step, (server, server.engine))
        return True

    def _fetched(self, engine: FleetEngine) -> None:
        """Whose keys and values have another place now, and need that of the prefiller no more."""
        for request in engine.fetched:
            self._sidecars.let_go(self._flights[request])
        engine.fetched = []

    def step(self, of: tuple[Server, FleetEngine]) -> None:
        server, engine = of
        if engine is not server.engine:
            return  # it crashed meanwhile
        seconds = self.now - engine.started_at
        records = self.records
        measured = records.window[0] <= self.now < records.window[1]
        if measured:
            _note_use(records.servers[server.number], engine, seconds)
        engine.step()
        flights = self._flights
        if engine.fetched:
            self._fetched(engine)
        first_tokens = [r for r in engine.first_tokens if r is not flights[r].prefill]
        if measured:
            records.gaps.add(seconds, engine.decoded)
            records.output_tokens += engine.decoded + len(first_tokens)
            for _, gap in engine.resumed:
                records.gaps.add(gap)
        back = self.now + self.settings.network_seconds
        for request in first_tokens:
            self.at(back, self._first_token, flights[request])
        for request in engine.finished:
            flight = flights.pop(request)
            if request is flight.request:
                self.at(back, self._end, flight)
            else:
                self.at(back, self._sidecars.came_back, (flight, request))
        if not engine.idle:
            self.at(engine.ends_at, self.step, of)

    def _first_token(self, flight: Flight) -> None:
        flight.record.first_token_at = self.now
        if (
            self.settings.sees_tokens
            and flight.request.output_tokens > 1
            and self.picker.director.first_token(flight.facts, self.now)
        ):
            self._something_changed()

    def _end(self, flight: Flight) -> None:
        request, record = flight.request, flight.record
        record.ended_at = self.now
        self._onlooker.answered(request)
        computed = flight.prefill or request  # sidecars report what the prefill found cached
        record.cached_tokens = computed.cached_tokens
        record.preemptions = request.preemptions
        tokens = Tokens(request.prompt_tokens, request.output_tokens, record.cached_tokens)
        ending = Ending(Cause.NATURAL, status=200)
        if self.settings.sees_tokens:
            ending.streaming, ending.completed_at = True, self.now
            ending.first_chunk_at = record.first_token_at
            ending.usage = tokens
        else:
            late = (flight.facts.request_id, tokens)
            self.at(self.now + self.settings.usage_seconds, self._report, late)
        outcomes = self.picker.director.finish(flight.facts, ending, self.now)
        self._told(outcomes)
        self._ended(flight)

    def _report(self, late: tuple[str, Tokens]) -> None:
        """The gateway's access log, which comes in batches."""
        self.picker.director.reported(*late, self.now)

    def _lose(self, flight: Flight, status: int) -> None:
        if flight.record.lost:
            return  # another part of it was, before
        flight.record.lost = True
        self._sidecars.let_go(flight)
        ending = Ending(Cause.NATURAL, status=status)
        self._told(self.picker.director.finish(flight.facts, ending, self.now))
        self._ended(flight)

    def _scrape(self, server: Server) -> None:
        self.at(self.now + self.settings.scrape_seconds, self._scrape, server)
        endpoint = server.endpoint
        if endpoint is None:
            return
        if not server.up or self.now < server.blind_until:
            self.picker.ledger.missed(endpoint)
            return
        self.picker.read(endpoint, server.metrics(self.now), endpoint.load.requests)
        self._something_changed()

    # The pool.

    def _apply_pool(self) -> None:
        self.picker.store.apply([server.spec for server in self._in_pool])
        by_name = {endpoint.name: endpoint for endpoint in self.picker.store.endpoints}
        for server in self.servers:
            server.endpoint = by_name.get(server.name)
            if server.endpoint is not None and not server.up:
                self.picker.store.set_reachable(server.endpoint, False)

    def _strike(self, fault: Fault) -> None:
        server = self.servers[fault.server]
        match fault.kind:
            case "slow":
                server.slow_down(fault.value)
            case "crash":
                server.down_until = max(server.down_until, self.now + fault.value)
                self._crash(server)
                self.at(server.down_until, self._recover, server)
            case "cold":
                server.lose_cache()
            case "blind":
                server.blind_until = self.now + fault.value
            case "add" if server not in self._in_pool:
                self._in_pool.append(server)
                self._apply_pool()
            case "remove" if server in self._in_pool:
                self._in_pool.remove(server)
                self._apply_pool()
        self._something_changed()

    def _crash(self, server: Server) -> None:
        server.up = False
        if server.endpoint is not None:
            self.picker.store.set_reachable(server.endpoint, False)
            self.picker.index.forget(server.endpoint)
        flights = self._flights
        lost = [request for request in flights if flights[request].where(request) is server]
        server.restart(Random(self._rng.random()))
        for request in lost:
            self._lose(flights.pop(request), 503)

    def _recover(self, server: Server) -> None:
        if self.now < server.down_until:
            return  # it crashed again meanwhile
        server.up = True
        if server.endpoint is not None:
            self.picker.store.set_reachable(server.endpoint, True)
        self._something_changed()

    def at(self, when: float, act: Callable[[Any], None], what: Any) -> None:
        heapq.heappush(self._events, (when, next(self._order), act, what))


def _note_use(use: ServerUse, engine: FleetEngine, seconds: float) -> None:
    """Of a step that is about to end."""
    use.busy += seconds
    use.prefilling += engine.prefill_seconds
    use.encoding += engine.encode_seconds
    use.loading += engine.load_seconds
    use.kv_cache += seconds * engine.cache.held / engine.cache.capacity
    if engine.held_up:
        use.held_up[engine.held_up] = use.held_up.get(engine.held_up, 0.0) + seconds
