"""Poisson traffic over engine models in virtual time, seen by a picker as in full or light mode."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from epp.compose import Picker, compose
from epp.config.build import read_configuration
from epp.configured import Outside
from epp.core.decision import Outcome, Placed
from epp.core.endpoint import EndpointMetrics
from epp.core.request import RequestFacts
from epp.datalayer.store import EndpointSpec
from epp.director import Arrival, Cause, Ending
from epp.payloads.payload import Payload
from epp.payloads.usage import Usage
from epp.shadow.comparison import Shadowing
from epp.simulation.engine import Engine
from epp.simulation.profiles import PROFILES
from epp.simulation.requests import EngineRequest
from epp.simulation.scheduler import EngineSettings

MARGINAL_COST = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl=false]
plugins: [{type: marginal-cost-scorer}]
schedulingProfiles:
- name: default
  plugins: [{pluginRef: marginal-cost-scorer}]
"""
BLEND = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl=false]
plugins: [{type: queue-scorer}, {type: kv-cache-utilization-scorer}, {type: prefix-cache-scorer}]
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: queue-scorer, weight: 2}
  - {pluginRef: kv-cache-utilization-scorer, weight: 2}
  - {pluginRef: prefix-cache-scorer, weight: 3}
"""
HEADERS = {":path": "/v1/completions", ":method": "POST"}
SCRAPED_EVERY_SECONDS = 1.0
REPORTED_AFTER_SECONDS = 0.1  # usage, in light mode


@dataclass
class Asked:
    """One request of the traffic."""

    prompt: bytes
    output_tokens: int
    adapter: str = ""


@dataclass
class Traffic:
    """Call `run`; then look at the picker and the latencies."""

    profiles: Sequence[str]  # one server each
    ask: Callable[[random.Random], Asked]
    rate: float  # requests a second, over all servers
    light: bool = False
    usage: bool = True
    document: str = MARGINAL_COST
    bytes_per_token: float = 4.0
    seed: int = 1
    shadowing: Shadowing | None = None
    adapter_load_seconds: float = 0.03  # from host memory
    adapter_first_load_seconds: float = 0.03  # from disk
    now: float = 0.0
    latencies: list[float] = field(default_factory=list)  # from arrival to the end
    first_tokens: list[float] = field(default_factory=list)
    served: dict[int, int] = field(default_factory=dict)  # by position of the server

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        outside = Outside(
            random.Random(self.seed + 1),
            lambda: f"r{next(self._serial)}",
            self._read,
            shadowing=self.shadowing,
        )
        self._serial = count()
        self._asked: dict[str, Asked] = {}
        self._live: dict[str, RequestFacts] = {}
        self._reports: list[tuple[float, str, Usage]] = []
        self.picker: Picker = compose(read_configuration(self.document), outside)
        specs = [EndpointSpec(f"e{n}", f"10.0.0.{n + 1}", 80) for n in range(len(self.profiles))]
        self.picker.store.apply(specs)
        self.engines = [
            Engine(self._settings(name), random.Random(self.seed * 100 + n))
            for n, name in enumerate(self.profiles)
        ]
        self._next_scrape = 0.0

    def _settings(self, profile: str) -> EngineSettings:
        hardware = PROFILES[profile]
        return EngineSettings(
            profile=hardware,
            num_blocks=hardware.kv_cache_tokens // 16,
            max_num_batched_tokens=hardware.max_num_batched_tokens,
            max_adapters=4,
            adapter_load_seconds=self.adapter_load_seconds,
            adapter_first_load_seconds=self.adapter_first_load_seconds,
        )

    def _read(self, arrival: Arrival) -> Payload:
        asked = self._asked[arrival.headers["x-request-id"]]
        return Payload(
            api="completions",
            model=asked.adapter or "base",
            streaming=True,
            prompt=asked.prompt,
            prompt_tokens=-(-len(asked.prompt) // 4),
        )

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        next_arrival = self.now + self.rng.expovariate(self.rate)
        while True:
            at = min(
                next_arrival,
                self._next_scrape,
                self._reports[0][0] if self._reports else math.inf,
                *(engine.next_event_at() for engine in self.engines),
            )
            if at > end:
                break
            self.now = at
            self._step_engines()
            while self._reports and self._reports[0][0] <= at:
                _, name, usage = heapq.heappop(self._reports)
                self.picker.director.reported(name, usage, at)
            if at >= self._next_scrape:
                self._scrape()
                self._next_scrape = at + SCRAPED_EVERY_SECONDS
            if at >= next_arrival:
                self._arrive()
                next_arrival = at + self.rng.expovariate(self.rate)
        self.now = end

    def drain(self) -> None:
        """No more arrivals; until nothing is left in any engine."""
        while (at := min(engine.next_event_at() for engine in self.engines)) < math.inf:
            self.now = at
            self._step_engines()
        for _, name, usage in sorted(self._reports, key=lambda report: report[0]):
            self.picker.director.reported(name, usage, self.now)
        self._reports.clear()

    def _arrive(self) -> None:
        name = f"q{next(self._serial)}"
        self._asked[name] = self.ask(self.rng)
        headers = {**HEADERS, "x-request-id": name}
        arrival = Arrival(headers, b"{}", True, True, self.now, shows_answer=not self.light)
        begun = self.picker.director.begin(arrival, self.now)
        assert begun.placed is not None, begun.refused
        self._send(begun.facts, begun.placed)

    def _send(self, facts: RequestFacts, placed: Placed) -> None:
        server = self.picker.store.endpoints.index(placed.decision.ordered[0])
        self.served[server] = self.served.get(server, 0) + 1
        asked = self._asked[facts.request_id]
        tokens = max(1, round(len(asked.prompt) / self.bytes_per_token))
        size = int(16 * self.bytes_per_token)
        whole = len(asked.prompt) // size
        hashes, link = [], hash(asked.adapter)
        for block in range(whole):
            link = hash((link, asked.prompt[block * size : (block + 1) * size]))
            hashes.append(link)
        request = EngineRequest(
            facts.request_id,
            tokens,
            asked.output_tokens,
            block_hashes=tuple(hashes),
            adapter=asked.adapter,
        )
        self._live[facts.request_id] = facts
        self.engines[server].advance(self.now)
        self.engines[server].submit(request, self.now)

    def _step_engines(self) -> None:
        for engine in self.engines:
            for step in engine.advance(self.now):
                for request in step.first_tokens:
                    self._first_token(request)
                for request in step.finished:
                    self._finish(request)

    def _first_token(self, request: EngineRequest) -> None:
        facts = self._live[request.request_id]
        self.first_tokens.append(self.now - facts.received_at)
        if not self.light:
            self.picker.director.first_token(facts, self.now)

    def _finish(self, request: EngineRequest) -> None:
        facts = self._live.pop(request.request_id)
        del self._asked[request.request_id]
        self.latencies.append(self.now - facts.received_at)
        told = Usage(request.prompt_tokens, request.output_tokens, request.cached_tokens)
        ending = Ending(Cause.NATURAL, status=200)
        if self.usage and not self.light:
            ending.usage = told
        outcomes: list[tuple[RequestFacts, Outcome]]
        outcomes = self.picker.director.finish(facts, ending, self.now)
        assert not outcomes
        if self.usage and self.light:
            report = (self.now + REPORTED_AFTER_SECONDS, request.request_id, told)
            heapq.heappush(self._reports, report)

    def _scrape(self) -> None:
        ages = ("waiting_read_at", "running_read_at", "kv_cache_usage_read_at", "adapters_read_at")
        for engine, endpoint in zip(self.engines, self.picker.store.endpoints, strict=True):
            gauges = engine.gauges
            reading = EndpointMetrics(
                waiting=gauges.waiting,
                running=gauges.running,
                kv_cache_usage=gauges.kv_cache_usage,
                running_adapters=frozenset(gauges.adapters),
                max_adapters=engine.settings.max_adapters,
                block_size_tokens=16,
                num_blocks=engine.settings.num_blocks,
                **dict.fromkeys(ages, self.now),
            )
            self.picker.read(endpoint, reading, endpoint.load.requests)
        self.picker.director.something_changed(self.now)
