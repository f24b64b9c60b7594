"""Configuration to a director with its rooms: pure wiring, for the app, simulations and replays."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from epp.config.settings import Configuration
from epp.core.decision import Answer, Outcome
from epp.core.endpoint import Endpoint, EndpointMetrics
from epp.core.refusal import Reason, Refused
from epp.core.request import RequestFacts
from epp.datalayer.ledger import Ledger
from epp.datalayer.models.catalogue import ModelCatalogue
from epp.datalayer.store import Change, EndpointStore
from epp.director import Arrival, Director, Reading
from epp.estimation.estimation import Estimation
from epp.extproc.headers import read_control
from epp.flowcontrol.attempt import PlacingAttempt
from epp.flowcontrol.controller import FlowController
from epp.flowcontrol.legacy import LegacyAdmission
from epp.flowcontrol.staged_attempt import StagedAttempt
from epp.flowcontrol.surroundings import Sample, Surroundings
from epp.payloads.payload import Payload
from epp.payloads.request import read_request
from epp.prefixcache.approximate import ApproximateIndex
from epp.prefixcache.blocks import hash_chain, tokens_in
from epp.routing.router import ModelRouter
from epp.routing.settings import RoutingSettings
from epp.scheduling.profile import Profile
from epp.scheduling.roles import decoders, prefillers
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


Queue = FlowController | LegacyAdmission
Scheduler = Profile | StagedScheduler


@dataclass(frozen=True, slots=True)
class _Rooms:
    """What remembers. It stays when the configuration changes."""

    store: EndpointStore
    ledger: Ledger
    index: ApproximateIndex
    estimation: Estimation
    outside: Outside
    use_subset: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """What the configuration makes of the rooms: without memory, made anew with each one."""

    scheduler: Scheduler  # with the memory of its stateful plugins
    attempt: PlacingAttempt | StagedAttempt
    fit_class: Callable[[RequestFacts], Hashable]
    saturation_for: Callable[[RequestFacts, float], float]
    admit: Callable[[RequestFacts, random.Random], None]  # raises Refused
    reading: Reading


@dataclass(frozen=True, slots=True)
class Reconfigured:
    outcomes: list[tuple[RequestFacts, Outcome]]  # of waiting requests whose turn this made
    index_anew: bool  # what was known of prefixes is forgotten


@dataclass(slots=True)
class Picker:
    """A composed picker. One event loop, or one simulation, is its only user."""

    configuration: Configuration
    store: EndpointStore
    ledger: Ledger
    index: ApproximateIndex
    estimation: Estimation
    models: ModelCatalogue
    router: ModelRouter
    queue: Queue
    director: Director
    policy: Policy
    _rooms: _Rooms
    _cluster: RoutingSettings = RoutingSettings()

    def read(self, endpoint: Endpoint, metrics: EndpointMetrics, own_at_start: int) -> None:
        """A scrape came."""
        before = endpoint.metrics.started_at
        self.ledger.read(endpoint, metrics, own_at_start)
        self.estimation.read(endpoint)
        if 0.0 < before < metrics.started_at:
            self.restarted(endpoint)

    def restarted(self, endpoint: Endpoint) -> None:
        """Its server is another process than before, or none: what it had cached is gone."""
        self.index.forget(endpoint)
        self.estimation.restarted(endpoint)

    def saturations(self, now: float) -> Mapping[str, float]:
        """Load over capacity by the roles that the pool has; `effective` is that of the fuller."""
        saturation, pool = self.configuration.detector.saturation, self.store.candidates
        able = {"prefill": prefillers(pool), "decode": decoders(pool)}
        found = {
            stage: saturation(endpoints, now) for stage, endpoints in able.items() if endpoints
        }
        return {**found, "effective": max(found.values()) if found else saturation(pool, now)}

    @property
    def routing(self) -> RoutingSettings:
        """What the configuration and the cluster say together."""
        return self.configuration.routing.followed_by(self._cluster)

    @property
    def use_subset(self) -> bool:
        """Whether the gateway's subset hint binds."""
        return self._rooms.use_subset

    def route(self, cluster: RoutingSettings) -> RoutingSettings:
        """Take in what the cluster says of routing; what the configuration says counts before it.

        Returns both together.
        """
        self._cluster = cluster
        self.router.update(self.routing)
        return self.routing

    def reconfigure(self, configuration: Configuration, now: float) -> Reconfigured:
        """Swap all that is configuration, between two decisions. Rooms keep what they remember.

        Discovery and the kind of admission must be those that run. Raises what a plugin may raise,
        and then nothing has changed.
        """
        if (configuration.flow_control is None) is not (self.configuration.flow_control is None):
            raise ValueError("another kind of admission needs a picker of its own")
        running = self.policy.scheduler
        scheduler = (configuration.staged or configuration.profile).with_memory_of(running.profiles)
        policy = _policy(configuration, scheduler, self._rooms)
        if isinstance(self.queue, LegacyAdmission):
            self.queue.reconfigure(policy.attempt, policy.saturation_for)
        else:
            assert configuration.flow_control is not None
            self.queue.reconfigure(
                configuration.flow_control,
                policy.attempt,
                policy.fit_class,
                same_classes=scheduler.what_fits == running.what_fits,
            )
        index_anew = self.index.reconfigure(configuration.prefix_cache)
        if index_anew:
            for facts in self.queue.requests():
                facts.prefix_blocks, facts.prefix_tokens = (), 0
        before, self.configuration = self.configuration, configuration
        self.policy = policy
        self.director.reading = policy.reading
        self.director.admit = lambda facts: policy.admit(facts, self._rooms.outside.rng)
        self.director.succeeded = scheduler.finished
        if configuration.routing != before.routing:
            self.route(self._cluster)
        return Reconfigured(self.director.something_changed(now), index_anew)


def compose(configuration: Configuration, outside: Outside, *, use_subset: bool = True) -> Picker:
    store, ledger = EndpointStore(), Ledger()
    index = ApproximateIndex(configuration.prefix_cache)
    models = ModelCatalogue()
    scheduler = (configuration.staged or configuration.profile).with_new_memory()
    estimation = Estimation(models.is_adapter, models.lists)
    rooms = _Rooms(store, ledger, index, estimation, outside, use_subset)
    policy = _policy(configuration, scheduler, rooms)
    limits = configuration.flow_control
    queue: Queue
    if limits is None:
        queue = LegacyAdmission(policy.attempt, policy.saturation_for)
    else:
        queue = FlowController(
            limits, policy.attempt, policy.fit_class, lambda: not store.candidates
        )

    def forget(change: Change) -> None:
        for endpoint in change.removed:
            ledger.forget(endpoint)
            index.forget(endpoint)
            estimation.forget(endpoint)
            models.forget(endpoint)

    store.subscribe(forget)
    router = ModelRouter(configuration.routing, outside.on_rewrite)
    director = Director(
        router=router,
        queue=queue,
        load=ledger,
        index=index,
        estimates=estimation,
        read_payload=outside.read_payload,
        reading=policy.reading,
        endpoint_at=lambda authority: _endpoint_at(store, authority),
        answer_for=_model_lister(models, store),
        new_request_id=outside.new_request_id,
        admit=lambda facts: policy.admit(facts, outside.rng),
        succeeded=scheduler.finished,
    )
    return Picker(
        configuration,
        store,
        ledger,
        index,
        estimation,
        models,
        router,
        queue,
        director,
        policy,
        rooms,
    )


def _policy(configuration: Configuration, scheduler: Scheduler, rooms: _Rooms) -> Policy:
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
    return Policy(scheduler, attempt, fit_class, saturation_for, admit, reading)


def _attempt(
    configuration: Configuration, scheduler: Scheduler, rooms: _Rooms
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


def _endpoint_at(store: EndpointStore, authority: str) -> Endpoint | None:
    """Asked only when another endpoint served than the one picked."""
    return next((e for e in store.endpoints if e.authority == authority), None)


def _model_lister(
    models: ModelCatalogue, store: EndpointStore
) -> Callable[[str, str], Answer | None]:
    """What the whole pool offers is asked of us; any one server knows only its own."""

    def answer_for(method: str, path: str) -> Answer | None:
        if method != "GET" or path.rstrip("/") != "/v1/models":
            return None
        document = models.document(store.candidates)
        if document is None:
            return None
        return Answer(200, {"content-type": "application/json"}, document)

    return answer_for


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
