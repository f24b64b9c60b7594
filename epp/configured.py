"""What a configuration makes of the rooms: the parts of a picker that have no memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from epp.config.settings import Configuration
from epp.core.endpoint import Endpoint
from epp.core.refusal import Reason, Refused
from epp.core.request import RequestFacts
from epp.core.stopwatch import DATA_PRODUCER, REQUEST_PARSING, TIMED_EVERY, Part, Stopwatch
from epp.datalayer.ledger import Ledger
from epp.datalayer.store import EndpointStore
from epp.director import Arrival, Reading
from epp.estimation.estimation import Estimation
from epp.extproc.headers import read_control
from epp.flowcontrol.attempt import PlacingAttempt
from epp.flowcontrol.staged_attempt import StagedAttempt
from epp.flowcontrol.surroundings import Sample, Surroundings
from epp.flowcontrol.timed import TimedTurns
from epp.payloads.payload import Payload
from epp.payloads.request import read_request
from epp.prefixcache.approximate import ApproximateIndex
from epp.prefixcache.blocks import hash_chain, tokens_in
from epp.scheduling.interfaces import Admitter
from epp.scheduling.profile import Profile
from epp.scheduling.staged import StagedScheduler
from epp.scheduling.timed import TimedAdmitter, TimedProfile, TimedStages
from epp.telemetry.metrics import PREFIX_INDEX

# The parser that the document would name, by the family of the payload.
PARSERS: Final = {
    "chat-completions": "openai-parser",
    "completions": "openai-parser",
    "passthrough": "passthrough-parser",
}


def read_arrival(arrival: Arrival) -> Payload:
    """Raises Refused for what no engine would take."""
    return read_request(arrival.path, arrival.headers, arrival.body, complete=arrival.complete)


@dataclass(frozen=True, slots=True)
class Outside:
    """What the deciding rooms are told or may ask of the world, besides the time."""

    rng: random.Random
    new_request_id: Callable[[], str]
    read_payload: Callable[[Arrival], Payload] = read_arrival
    on_rewrite: Callable[[str, str, str], None] = lambda _rewrite, _model, _target: None
    sample: Sample | None = None  # asked before every attempt to place a request
    stopwatch: Stopwatch | None = None  # None: no plugin is timed


Scheduler = Profile | StagedScheduler


@dataclass(frozen=True, slots=True)
class Rooms:
    """What remembers. It stays when the configuration changes."""

    store: EndpointStore
    ledger: Ledger
    index: ApproximateIndex
    estimation: Estimation
    outside: Outside
    use_subset: bool


@dataclass(frozen=True, slots=True)
class Configured:
    """What the configuration makes of the rooms: without memory, made anew with each one."""

    scheduler: Scheduler  # with the memory of its stateful plugins
    attempt: PlacingAttempt | StagedAttempt
    fit_class: Callable[[RequestFacts], Hashable]
    saturation_for: Callable[[RequestFacts, float], float]
    admit: Callable[[RequestFacts, random.Random], None]  # raises Refused
    reading: Reading


def configure(configuration: Configuration, scheduler: Scheduler, rooms: Rooms) -> Configured:
    """`scheduler` is that of the configuration, with its memory."""
    detector = configuration.detector
    attempt = _attempt(configuration, scheduler, rooms)
    admitters = _admitters(configuration, rooms.outside.stopwatch)

    def fit_class(facts: RequestFacts) -> Hashable:
        return facts.subset, scheduler.fit_key(facts)

    def saturation_for(facts: RequestFacts, now: float) -> float:
        return detector.saturation(attempt.around.saturation_candidates(facts), now)

    def admit(facts: RequestFacts, rng: random.Random) -> None:
        for admitter in admitters:
            endpoints = attempt.around.saturation_candidates(facts)
            if detail := admitter.refusal(facts, endpoints, rng):
                raise Refused(Reason.SATURATED, detail, 1.0)

    reading = Reading(
        hash_prompt=_prompt_hasher(configuration),
        control=_control_reader(configuration),
        session_headers=configuration.session_headers,
        flow_headers=configuration.flow_headers,
    )
    return Configured(scheduler, attempt, fit_class, saturation_for, admit, reading)


def _attempt(
    configuration: Configuration, scheduler: Scheduler, rooms: Rooms
) -> PlacingAttempt | StagedAttempt:
    waits, outside = configuration.flow_control is not None, rooms.outside
    around = Surroundings(
        candidates=lambda: rooms.store.candidates,
        with_room=configuration.detector.with_room if waits else None,
        match_prefix=rooms.index.match,
        reserve=rooms.ledger.reserve,
        rng=outside.rng,
        estimate=_estimate_reader(configuration, rooms.estimation, rooms.store),
        sample=outside.sample,
        use_subset=rooms.use_subset,
    )
    stopwatch = outside.stopwatch
    if isinstance(scheduler, StagedScheduler):
        staged = StagedAttempt(scheduler, around)
        if stopwatch is None:
            return staged
        slow = StagedAttempt(TimedStages(scheduler, stopwatch), _timed(around, stopwatch))
        return replace(staged, timed=TimedTurns(slow, stopwatch, TIMED_EVERY))
    attempt = PlacingAttempt(scheduler, around)
    if stopwatch is None:
        return attempt
    timed = PlacingAttempt(TimedProfile(scheduler, stopwatch), _timed(around, stopwatch))
    return replace(attempt, timed=TimedTurns(timed, stopwatch, TIMED_EVERY))


def _timed(around: Surroundings, stopwatch: Stopwatch) -> Surroundings:
    name, kind = PREFIX_INDEX["plugin_name"], PREFIX_INDEX["plugin_type"]
    timer, match_prefix = stopwatch.timer(Part(DATA_PRODUCER, kind, name)), around.match_prefix

    def match(
        blocks: Sequence[int], endpoints: Sequence[Endpoint], token_ratio: float
    ) -> Mapping[Endpoint, int]:
        began = stopwatch.clock()
        matched = match_prefix(blocks, endpoints, token_ratio)
        timer.ran_since(began, len(endpoints), len(matched))
        return matched

    return replace(around, match_prefix=match)


def _admitters(
    configuration: Configuration, stopwatch: Stopwatch | None
) -> Sequence[Admitter | TimedAdmitter]:
    if stopwatch is None:
        return tuple(configuration.admitters.values())
    named = configuration.admitters.items()
    return tuple(TimedAdmitter(name, admitter, stopwatch) for name, admitter in named)


class TimedReading:
    """Reads payloads, and takes the time of some."""

    def __init__(self, stopwatch: Stopwatch) -> None:
        self._stopwatch = stopwatch
        self._timers = {
            api: stopwatch.timer(Part(REQUEST_PARSING, parser, parser))
            for api, parser in PARSERS.items()
        }
        self._left = 1

    def __call__(self, arrival: Arrival) -> Payload:
        """Raises Refused for what no engine would take; that is not timed."""
        self._left -= 1
        if self._left > 0:
            return read_arrival(arrival)
        began = self._stopwatch.clock()
        payload = read_arrival(arrival)
        self._left = TIMED_EVERY
        self._timers[payload.api].ran_since(began)
        return payload


def _estimate_reader(
    configuration: Configuration, estimation: Estimation, store: EndpointStore
) -> Callable[[RequestFacts, Sequence[Endpoint], float], None] | None:
    if not (configuration.staged or configuration.profile).reads_costs:
        return None  # nobody would look at it

    def estimate(facts: RequestFacts, endpoints: Sequence[Endpoint], now: float) -> None:
        pool = facts.estimate = estimation.pool(len(store.candidates), now)
        adapter = facts.adapter = estimation.adapter_of(facts.target_model)
        if adapter and pool is not None:
            facts.adapter_loads, facts.adapter_waits = estimation.residency.costs(
                adapter, endpoints, pool.residence_seconds
            )

    return estimate


def _prompt_hasher(
    configuration: Configuration,
) -> Callable[[str, Payload], tuple[Sequence[int], int]]:
    if not (configuration.staged or configuration.profile).reads_prefix:
        return lambda _model, _payload: ((), 0)  # nobody would look at it
    block_tokens = configuration.prefix_cache.block_tokens
    max_tokens = configuration.prefix_cache.max_tokens

    def hash_prompt(model: str, payload: Payload) -> tuple[Sequence[int], int]:
        salt, prompt = payload.cache_salt, payload.prompt
        blocks = hash_chain(model, salt, prompt, block_tokens, max_tokens)
        return blocks, tokens_in(len(blocks), block_tokens)

    return hash_prompt


def _control_reader(configuration: Configuration) -> Callable[[Arrival, str], str | None]:
    """Whose word counts: the client's headers, or only what the gateway itself vouches for."""
    from_clients = configuration.control_from_clients

    def read(arrival: Arrival, name: str) -> str | None:
        if arrival.control is not None:
            vouched = read_control(arrival.control, name)
            if vouched is not None:
                return vouched
        return read_control(arrival.headers, name) if from_clients else None

    return read
