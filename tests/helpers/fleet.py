"""Pickers and engine models in virtual time: what a restart or a second picker does to a pool."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import orjson

from epp.compose import Picker, compose
from epp.config.build import read_configuration
from epp.configured import Outside
from epp.core.decision import Outcome, Placed
from epp.core.endpoint import EndpointMetrics
from epp.core.request import RequestFacts
from epp.datalayer.store import EndpointSpec
from epp.director import Arrival, Cause, Ending
from epp.simulation.engine import Engine
from epp.simulation.profiles import PROFILES
from epp.simulation.requests import EngineRequest
from epp.simulation.scheduler import EngineSettings

ENDING = Ending(Cause.NATURAL)
ARRIVAL_HEADERS = {":path": "/v1/chat/completions", ":method": "POST"}


def a_fleet_picker(servers: int) -> Picker:
    picker = compose(read_configuration(), Outside(random.Random(1), lambda: "id"))
    picker.store.apply([EndpointSpec(f"e{n}", f"10.0.0.{n + 1}", 80) for n in range(servers)])
    return picker


@dataclass
class Fleet:
    """Engines of few places, shared by any number of pickers; scrapes see them as they are."""

    servers: int = 3
    places: int = 4
    tokens: int = 50
    now: float = 0.0
    engines: list[Engine] = field(default_factory=list)
    most_waiting: int = 0
    served: int = 0
    _owner: dict[int, tuple[Picker, RequestFacts]] = field(default_factory=dict)
    _kept: list[EngineRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = EngineSettings(
            profile=PROFILES["8b-h100"], num_blocks=20_000, max_num_seqs=self.places
        )
        self.engines = [Engine(settings, random.Random(n)) for n in range(self.servers)]

    def fill(self, server: int, count: int) -> None:
        """Requests that no picker of ours knows of."""
        for _ in range(count):
            self._submit(server, None)

    def arrive(self, picker: Picker, prompt: str = "hi") -> None:
        body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": prompt}]})
        arrival = Arrival(ARRIVAL_HEADERS, body, True, True, self.now)
        begun = picker.director.begin(arrival, self.now)
        if begun.placed is not None:
            self._send(picker, begun.facts, begun.placed)

    def scrape(self, picker: Picker) -> None:
        for engine, endpoint in zip(self.engines, picker.store.endpoints, strict=True):
            reading = EndpointMetrics(
                waiting=engine.waiting,
                running=engine.running,
                kv_cache_usage=engine.kv_cache_usage,
                **dict.fromkeys(
                    ("waiting_read_at", "running_read_at", "kv_cache_usage_read_at"), self.now
                ),
            )
            picker.read(endpoint, reading, endpoint.load.requests)
        self._deliver(picker, picker.director.something_changed(self.now))

    def advance(self, seconds: float) -> None:
        """Run the engines, and tell each picker of the ends of its own requests."""
        end = self.now + seconds
        while (at := min(engine.next_event_at() for engine in self.engines)) <= end:
            self.now = at
            for engine in self.engines:
                for step in engine.advance(at):
                    for request in step.finished:
                        self.served += 1
                        owner = self._owner.pop(id(request), None)
                        if owner is not None:
                            picker, facts = owner
                            self._deliver(picker, picker.director.finish(facts, ENDING, at))
        self.now = end
        for engine in self.engines:
            engine.advance(end)

    def _deliver(self, picker: Picker, outcomes: list[tuple[RequestFacts, Outcome]]) -> None:
        for facts, outcome in outcomes:
            if isinstance(outcome, Placed):
                self._send(picker, facts, outcome)

    def _send(self, picker: Picker, facts: RequestFacts, placed: Placed) -> None:
        server = picker.store.endpoints.index(placed.decision.ordered[0])
        self._submit(server, (picker, facts))

    def _submit(self, server: int, owner: tuple[Picker, RequestFacts] | None) -> None:
        request = EngineRequest("r", 20, self.tokens)
        self._kept.append(request)  # identities stay unique
        if owner is not None:
            self._owner[id(request)] = owner
        engine = self.engines[server]
        engine.advance(self.now)
        engine.submit(request, self.now)
        self.most_waiting = max(self.most_waiting, *(e.waiting for e in self.engines))
