"""What a configuration makes of the rooms: the parts of a picker that have no memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

from epp.config.settings import Configuration
from epp.core.endpoint import Endpoint
from epp.core.refusal import Reason, Refused
from epp.core.request import RequestFacts
from epp.core.stopwatch import Stopwatch, Timing
from epp.datalayer.ledger import Ledger
from epp.datalayer.store import EndpointStore
from epp.director import Arrival, PrefixIndex, Reading
from epp.estimation.estimation import Estimation
from epp.extproc.headers import read_control
from epp.flowcontrol.attempt import PlacingAttempt
from epp.flowcontrol.staged_attempt import StagedAttempt
from epp.flowcontrol.surroundings import Sample, Surroundings
from epp.payloads.passthrough import read_unreadable
from epp.payloads.payload import Payload
from epp.payloads.request import read_request
from epp.prefixcache.approximate import ApproximateIndex
from epp.prefixcache.blocks import hash_chain, tokens_in
from epp.scheduling.profile import Profile
from epp.scheduling.staged import StagedScheduler
from epp.shadow.book import ShadowBook
from epp.shadow.comparison import Shadowing, Shadows
from epp.shadow.upkeep import PaidIndex, paid_hashing
from epp.shadowed import Beside, Estimate, put_in_force, shadows_of
from epp.timed import timed_admitters, with_staged_turns, with_turns


def read_arrival(arrival: Arrival) -> Payload:
    """Raises Refused for what no engine would take."""
    return read_request(arrival.path, arrival.headers, arrival.body, complete=arrival.complete)


def measure_arrival(arrival: Arrival) -> Payload:
    """Its size alone, where the configuration has no body parsed. Never refuses."""
    return read_unreadable(arrival.body)


@dataclass(frozen=True, slots=True)
class Outside:
    """What the deciding rooms are told or may ask of the world, besides the time."""

    rng: random.Random
    new_request_id: Callable[[], str]
    read_payload: Callable[[Arrival], Payload] = read_arrival
    measure_payload: Callable[[Arrival], Payload] = measure_arrival
    on_rewrite: Callable[[str, str, str], None] = lambda _rewrite, _model, _target: None
    # An endpoint that is left out for so many seconds since it answers errors; 0: it answers again.
    on_pause: Callable[[Endpoint, float], None] = lambda _endpoint, _seconds: None
    sample: Sample | None = None  # asked before every attempt to place a request
    shadowing: Shadowing | None = None  # None: shadow profiles do not run
    stopwatch: Stopwatch | None = None  # None: no plugin is timed
    passes: Timing | None = None  # over those who wait; None: they are not timed


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
    shadow_book: ShadowBook


@dataclass(frozen=True, slots=True)
class Configured:
    """What the configuration makes of the rooms: without memory, made anew with each one."""

    scheduler: Scheduler  # with the memory of its stateful plugins
    shadow_profiles: tuple[Profile, ...]  # with theirs, in the order of the configuration
    shadows: Shadows | None  # None: nobody looks on
    attempt: PlacingAttempt | StagedAttempt
    fit_class: Callable[[RequestFacts], Hashable]
    saturation_for: Callable[[RequestFacts, float], float]
    admit: Callable[[RequestFacts, random.Random], None]  # raises Refused
    read_payload: Callable[[Arrival], Payload]  # raises Refused for what no engine would take
    reading: Reading
    index: PrefixIndex  # that learns of placements
    succeeded: Callable[[RequestFacts, Endpoint, Endpoint, float], None]  # see the director


def configure(
    configuration: Configuration,
    scheduler: Scheduler,
    shadow_profiles: tuple[Profile, ...],
    rooms: Rooms,
) -> Configured:
    """Scheduler and shadow profiles are those of the configuration, with their memory."""
    detector, outside = configuration.detector, rooms.outside
    around = _surroundings(configuration, rooms)
    shadows = _shadows(configuration, scheduler, shadow_profiles, around, rooms)
    hash_prompt, index = _prompt_hasher(configuration), rooms.index
    credited: PrefixIndex = index
    if not _live(configuration).reads_prefix:
        shadowing = outside.shadowing
        if shadows is not None and shadowing is not None and shadows.reads_prefix:
            around = replace(around, match_prefix=None)
            hash_prompt = paid_hashing(hash_prompt, shadows, shadowing.clock)
            credited = PaidIndex(index, shadows, shadowing.clock)
        else:
            hash_prompt = _no_blocks  # nobody would look at them
    around = replace(around, shadows=shadows)
    attempt = _attempt(scheduler, around, outside.stopwatch)
    admitters = timed_admitters(configuration.admitters, outside.stopwatch)

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
        hash_prompt=hash_prompt,
        control=_control_reader(configuration),
        session_headers=configuration.session_headers,
        flow_headers=configuration.flow_headers,
    )
    return Configured(
        scheduler,
        shadow_profiles,
        shadows,
        attempt,
        fit_class,
        saturation_for,
        admit,
        outside.read_payload if configuration.parses_bodies else outside.measure_payload,
        reading,
        credited,
        _succeeded(scheduler, shadows),
    )


def begin_comparing(configuration: Configuration, configured: Configured, rooms: Rooms) -> None:
    """What the configuration came to is in force from now on."""
    live, shadowing, book = configured.scheduler, rooms.outside.shadowing, rooms.shadow_book
    if configured.shadows is None or shadowing is None or not isinstance(live, Profile):
        book.put_in_force("", (), 0.0)
    else:
        now, profiles = shadowing.clock(), configured.shadow_profiles
        put_in_force(book, configuration, live, profiles, now)


def _live(configuration: Configuration) -> Scheduler:
    """What decides, without memory."""
    return configuration.staged or configuration.profile


def _attempt(
    scheduler: Scheduler, around: Surroundings, stopwatch: Stopwatch | None
) -> PlacingAttempt | StagedAttempt:
    if isinstance(scheduler, StagedScheduler):
        staged = StagedAttempt(scheduler, around)
        return staged if stopwatch is None else with_staged_turns(staged, scheduler, stopwatch)
    attempt = PlacingAttempt(scheduler, around)
    return attempt if stopwatch is None else with_turns(attempt, scheduler, stopwatch)


def _shadows(
    configuration: Configuration,
    scheduler: Scheduler,
    profiles: tuple[Profile, ...],
    around: Surroundings,
    rooms: Rooms,
) -> Shadows | None:
    shadowing = rooms.outside.shadowing
    if shadowing is None or not profiles or not isinstance(scheduler, Profile):
        return None
    estimate = _estimate_reader(rooms.estimation, rooms.store)
    beside = Beside(around, rooms.index, estimate, rooms.shadow_book, shadowing)
    return shadows_of(configuration, scheduler, profiles, beside)


def _succeeded(
    scheduler: Scheduler, shadows: Shadows | None
) -> Callable[[RequestFacts, Endpoint, Endpoint, float], None]:
    if shadows is None or not shadows.remembers:
        return scheduler.finished
    looking_on = shadows

    def succeeded(facts: RequestFacts, picked: Endpoint, served: Endpoint, now: float) -> None:
        scheduler.finished(facts, picked, served, now)
        looking_on.finished(facts, picked, served, now)

    return succeeded


def _surroundings(configuration: Configuration, rooms: Rooms) -> Surroundings:
    waits, outside = configuration.flow_control is not None, rooms.outside
    reads_costs = _live(configuration).reads_costs  # else nobody would look at them
    return Surroundings(
        candidates=lambda: rooms.store.candidates,
        with_room=configuration.detector.with_room if waits else None,
        match_prefix=rooms.index.match,
        reserve=rooms.ledger.reserve,
        rng=outside.rng,
        estimate=_estimate_reader(rooms.estimation, rooms.store) if reads_costs else None,
        sample=outside.sample,
        use_subset=rooms.use_subset,
    )


def _estimate_reader(estimation: Estimation, store: EndpointStore) -> Estimate:
    def estimate(facts: RequestFacts, endpoints: Sequence[Endpoint], now: float) -> None:
        pool = facts.estimate = estimation.pool(len(store.candidates), now)
        adapter = facts.adapter = estimation.adapter_of(facts.target_model)
        if adapter:
            facts.adapter_loads, facts.adapter_waits = estimation.residency.costs(
                adapter, endpoints, pool
            )

    return estimate


def _no_blocks(_model: str, _payload: Payload) -> tuple[Sequence[int], int]:
    return (), 0


def _prompt_hasher(
    configuration: Configuration,
) -> Callable[[str, Payload], tuple[Sequence[int], int]]:
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
