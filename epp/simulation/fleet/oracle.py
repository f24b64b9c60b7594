"""A policy that no picker can have: it reads the engines, and knows the hardware.

Greedy: it adds up what a request costs itself and those in flight on each server, with true queues,
true caches and the constants of each engine. Of answers it knows the mean length. It is no upper
bound, since it does not plan for requests still to come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Scorer
from epp.scheduling.plugins.max_score_picker import MaxScorePicker
from epp.scheduling.profile import Profile, WeightedScorer
from epp.scheduling.ranges import lower_is_better
from epp.simulation.fleet.engine import FleetEngine
from epp.simulation.fleet.requests import FleetRequest
from epp.simulation.fleet.servers import Server

RECENT_ANSWERS: Final = 200


@dataclass(slots=True)
class Knowledge:
    """The run is its only writer."""

    servers: dict[str, Server] = field(default_factory=dict)  # by name
    asked: dict[str, FleetRequest] = field(default_factory=dict)  # by request id, not yet sent
    on_the_way: dict[str, list[FleetRequest]] = field(default_factory=dict)  # by server's name
    answers: deque[int] = field(default_factory=lambda: deque([200], RECENT_ANSWERS))  # tokens

    def costs(self, facts: RequestFacts, endpoints: Sequence[Endpoint]) -> list[float]:
        """Seconds of all requests together."""
        request = self.asked[facts.request_id]
        output = sum(self.answers) / len(self.answers)
        return [
            cost(
                self.servers[endpoint.name].engine,
                request,
                self.on_the_way.get(endpoint.name, ()),
                output,
                facts.attempted_at,
            )
            for endpoint in endpoints
        ]


def cost(
    engine: FleetEngine,
    request: FleetRequest,
    on_the_way: Sequence[FleetRequest],
    output_tokens: float,
    now: float,
) -> float:
    """What one request costs there: its own time, and that of those in flight."""
    profile = engine.profile
    ahead = [*engine.queued(), *on_the_way]
    in_flight = engine.running + engine.waiting + len(on_the_way)
    decoding = engine.decoding

    left, computed = engine.unfinished_prefill()
    tokens, pairs = float(left), left * (computed + left / 2.0)
    for other in ahead:
        missing, read = _prefill(engine, other)
        tokens += missing
        pairs += read
    own, own_pairs = _prefill(engine, request)
    # A prefill rides on steps that have a floor anyhow: what counts is by how much they are longer.
    step = profile.step_seconds(decoding, decoding, engine.decode_context, 0.0)
    budget = engine.settings.max_num_batched_tokens
    wait = max(0.0, engine.ends_at - now) if not engine.idle else 0.0
    before = _longer(engine, tokens, pairs)
    work = _longer(engine, tokens + own, pairs + own_pairs) - before
    steps = (tokens + own) // budget + 1.0
    first_token = wait + before + work + steps * step

    # While it decodes, every step is longer by its own row and context.
    context = request.prompt_tokens + output_tokens / 2.0
    batch = decoding + len(ahead)
    row = profile.context_seconds * context + profile.step_seconds(batch + 1, batch + 1, 0.0, 0.0)
    row -= profile.step_seconds(batch, batch, 0.0, 0.0)
    decode = output_tokens * (step + row) + in_flight * output_tokens * row
    total = first_token + in_flight * work + decode

    total += _memory(engine, ahead, request, output_tokens, step)
    if request.adapter:
        load_seconds, has_to_wait = engine.adapter_waits(request.adapter)
        total += load_seconds * (1.0 + in_flight)
        if has_to_wait:
            total += output_tokens * step / engine.settings.max_adapters
    return total


def _prefill(engine: FleetEngine, request: FleetRequest) -> tuple[float, float]:
    """Tokens to be computed, and their attention in pairs of tokens."""
    cached = engine.cached_tokens(request)
    missing = request.prompt_tokens - cached
    return missing, missing * (cached + missing / 2.0)


def _longer(engine: FleetEngine, tokens: float, pairs: float) -> float:
    """By how much prefills make steps longer, in seconds."""
    profile, decoding = engine.profile, engine.decoding
    budget = engine.settings.max_num_batched_tokens
    full, rest = divmod(tokens, budget)
    plain = profile.step_seconds(decoding, 0, 0.0, 0.0)
    seconds = profile.pair_seconds * pairs
    if full:
        seconds += full * (profile.step_seconds(decoding + budget, 0, 0.0, 0.0) - plain)
    return seconds + profile.step_seconds(decoding + int(rest), 0, 0.0, 0.0) - plain


def _memory(
    engine: FleetEngine,
    ahead: Sequence[FleetRequest],
    request: FleetRequest,
    output_tokens: float,
    step: float,
) -> float:
    """Seconds until enough requests have ended that it has room, and those before it."""
    size = engine.settings.block_size_tokens
    needed = output_tokens + sum(r.prompt_tokens - engine.cached_tokens(r) for r in ahead)
    needed += request.prompt_tokens - engine.cached_tokens(request)
    missing = needed / size - engine.cache.free
    running = engine.running
    if missing <= 0.0 or not running:
        return 0.0
    freed_per_second = engine.cache.held / running * running / (output_tokens * step)
    return missing / freed_per_second if freed_per_second > 0.0 else 0.0


@dataclass(frozen=True, slots=True)
class OracleScorer(Scorer):
    """In no catalogue: it is made for one run."""

    type_name: ClassVar[str] = "oracle-scorer"

    knowledge: Knowledge

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        return lower_is_better(self.knowledge.costs(request, endpoints))


def oracle_profile(knowledge: Knowledge) -> Profile:
    scorer = WeightedScorer("oracle", OracleScorer(knowledge))
    return Profile("oracle", (), (scorer,), MaxScorePicker())
