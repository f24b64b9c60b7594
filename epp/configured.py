"""What a configuration makes of the rooms: the parts of a picker that have no memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from epp.config.settings import Configuration
from epp.core.endpoint import Endpoint
from epp.core.refusal import Reason, Refused
from epp.core.request import RequestFacts
from epp.datalayer.ledger import Ledger
from epp.datalayer.store import EndpointStore
from epp.director import Arrival, Reading
from epp.estimation.estimation import Estimation
from epp.extproc.headers import read_control
from epp.flowcontrol.attempt import PlacingAttempt
from epp.flowcontrol.staged_attempt import StagedAttempt
from epp.flowcontrol.surroundings import Sample, Surroundings
from epp.payloads.payload import Payload
from epp.payloads.request import read_request
from epp.prefixcache.approximate import ApproximateIndex
from epp.prefixcache.blocks import hash_chain, tokens_in
from epp.scheduling.profile import Profile
from epp.scheduling.staged import StagedScheduler


@dataclass(frozen=True, slots=True)
class Outside:
    """What the deciding rooms are told or may ask of the world, besides the time."""

    rng: random.Random
    new_request_id: Callable[[], str]
    read_payload: Callable[[Arrival], Payload] = lambda arrival: read_request(
        arrival.path, arrival.headers, arrival.body, complete=arrival.complete
    )
    on_rewrite: Callable[[str, str, str], None] = lambda _rewrite, _model, _target: None
    sample: Sample | None = None  # asked before every attempt to place a request


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

    def fit_class(facts: RequestFacts) -> Hashable:
        return facts.subset, scheduler.fit_key(facts)

    def saturation_for(facts: RequestFacts, now: float) -> float:
        return detector.saturation(attempt.around.saturation_candidates(facts), now)

    def admit(facts: RequestFacts, rng: random.Random) -> None:
        for admitter in configuration.admitters:
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
    if isinstance(scheduler, StagedScheduler):
        return StagedAttempt(scheduler, around)
    return PlacingAttempt(scheduler, around)


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
