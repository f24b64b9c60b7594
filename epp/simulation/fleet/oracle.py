"""A policy that no picker can have: it reads the engines, and knows the hardware.

Greedy: it adds up what a request costs itself and those in flight on each server, with true queues,
true caches and the constants of each engine. Of answers it knows the mean length. It is no upper
bound, since it does not plan for requests still to come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

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
FIRST_ANSWER_TOKENS: Final = 200  # taken for one, while none has ended


class Onlooker(Protocol):
    """What a run tells of its requests."""

    def begins(self, servers: Sequence[Server]) -> None: ...
    def asks(self, request_id: str, request: FleetRequest) -> None: ...
    def decided(self, request_id: str) -> None: ...
    def sent(self, server: Server, request: FleetRequest) -> None: ...
    def arrived(self, server: Server, request: FleetRequest) -> None: ...
    def answered(self, request: FleetRequest) -> None: ...


class Nobody:
    """Looks on."""

    def begins(self, servers: Sequence[Server]) -> None:
        return

    def asks(self, request_id: str, request: FleetRequest) -> None:
        return

    def decided(self, request_id: str) -> None:
        return

    def sent(self, server: Server, request: FleetRequest) -> None:
        return

    def arrived(self, server: Server, request: FleetRequest) -> None:
        return

    def answered(self, request: FleetRequest) -> None:
        return


class Oracle:
    """An onlooker whose profile decides."""

    def __init__(self) -> None:
        scorer = WeightedScorer("oracle", OracleScorer(self.costs))
        self.profile = Profile("oracle", (), (scorer,), MaxScorePicker())
        self._servers: dict[str, Server] = {}  # by name
        self._asked: dict[str, FleetRequest] = {}  # by request id, not yet decided
        self._on_the_way: dict[str, list[FleetRequest]] = {}  # by server's name
        self._lengths = deque([FIRST_ANSWER_TOKENS], RECENT_ANSWERS)

    def __len__(self) -> int:
        """Requests that it remembers."""
        return len(self._asked) + sum(map(len, self._on_the_way.values()))

    def begins(self, servers: Sequence[Server]) -> None:
        self._servers = {server.name: server for server in servers}
        self._on_the_way = {server.name: [] for server in servers}

    def asks(self, request_id: str, request: FleetRequest) -> None:
        self._asked[request_id] = request

    def decided(self, request_id: str) -> None:
        del self._asked[request_id]

    def sent(self, server: Server, request: FleetRequest) -> None:
        self._on_the_way[server.name].append(request)

    def arrived(self, server: Server, request: FleetRequest) -> None:
        self._on_the_way[server.name].remove(request)

    def answered(self, request: FleetRequest) -> None:
        self._lengths.append(request.output_tokens)

    def costs(self, facts: RequestFacts, endpoints: Sequence[Endpoint]) -> list[float]:
        """Seconds of all requests together."""
        request = self._asked[facts.request_id]
        output = sum(self._lengths) / len(self._lengths)
        return [
            cost(
                self._servers[endpoint.name].engine,
                request,
                self._on_the_way[endpoint.name],
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
    queued, pairs = 0.0, left * (computed + left / 2.0)
    for other in ahead:
        missing, read = _prefill(engine, other)
        queued += missing
        pairs += read
    tokens = left + queued
    own, own_pairs = _prefill(engine, request)
    # A prefill rides on steps that have a floor anyhow: what counts is by how much they are longer.
    step = profile.step_seconds(decoding, decoding, engine.decode_context, 0.0)
    budget = engine.settings.max_num_batched_tokens
    wait = max(0.0, engine.ends_at - now) if not engine.idle else 0.0
    before = _longer(engine, tokens, pairs)
    work = _longer(engine, tokens + own, pairs + own_pairs) - before + _encoding(engine, request)
    before += sum([_encoding(engine, other) for other in ahead])
    steps = (tokens + own) // budget + 1.0
    first_token = wait + before + work + steps * step

    # While it decodes, every step is longer by its own row and context.
    context = request.prompt_tokens + output_tokens / 2.0
    batch = decoding + len(ahead)
    row = profile.context_seconds * context + profile.step_seconds(batch + 1, batch + 1, 0.0, 0.0)
    row -= profile.step_seconds(batch, batch, 0.0, 0.0)
    decode = output_tokens * (step + row) + in_flight * output_tokens * row
    total = first_token + in_flight * work + decode

    total += _memory(engine, queued + own + output_tokens, output_tokens * step)
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


def _encoding(engine: FleetEngine, request: FleetRequest) -> float:
    """Seconds for the images that are not wholly in the prefix that is cached."""
    if not request.images:
        return 0.0
    cached = engine.cached_tokens(request)
    tokens = sum([image.tokens for begin, image in request.images if begin + image.tokens > cached])
    return tokens * engine.profile.encoder_token_seconds


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


def _memory(engine: FleetEngine, needed_tokens: float, answer_seconds: float) -> float:
    """Seconds until enough requests have ended that all of these tokens have room."""
    cache = engine.cache
    missing = needed_tokens / engine.settings.block_size_tokens - cache.free
    if missing <= 0.0 or not cache.held:
        return 0.0
    return missing / cache.held * answer_seconds  # in that time all that is held is freed once


@dataclass(frozen=True, slots=True)
class OracleScorer(Scorer):
    """In no catalogue: it is made for one run."""

    type_name: ClassVar[str] = "oracle-scorer"

    costs: Callable[[RequestFacts, Sequence[Endpoint]], list[float]]

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        return lower_is_better(self.costs(request, endpoints))
