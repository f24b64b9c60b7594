"""Configuration to a director with its rooms: pure wiring, for the app, simulations and replays."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from epp.config.settings import Configuration
from epp.core.decision import Answer, Lease
from epp.core.endpoint import Endpoint, EndpointMetrics
from epp.core.refusal import Reason, Refused
from epp.core.request import RequestFacts
from epp.datalayer.ledger import Ledger
from epp.datalayer.models.catalogue import ModelCatalogue
from epp.datalayer.store import Change, EndpointStore
from epp.director import Arrival, Director
from epp.estimation.estimation import Estimation
from epp.extproc.headers import read_control
from epp.flowcontrol.attempt import PlacingAttempt
from epp.flowcontrol.controller import FlowController
from epp.flowcontrol.legacy import LegacyAdmission
from epp.flowcontrol.staged_attempt import StagedAttempt
from epp.payloads.payload import Payload
from epp.payloads.request import read_request
from epp.prefixcache.approximate import ApproximateIndex
from epp.prefixcache.blocks import hash_chain, tokens_in
from epp.routing.router import ModelRouter
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


@dataclass(frozen=True, slots=True)
class Picker:
    """A composed picker. One event loop, or one simulation, is its only user."""

    configuration: Configuration
    store: EndpointStore
    ledger: Ledger
    index: ApproximateIndex
    estimation: Estimation
    models: ModelCatalogue
    router: ModelRouter
    queue: FlowController | LegacyAdmission
    director: Director

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


def compose(configuration: Configuration, outside: Outside, *, use_subset: bool = True) -> Picker:
    store, ledger = EndpointStore(), Ledger()
    index = ApproximateIndex(configuration.prefix_cache)
    models = ModelCatalogue()
    scheduler = (configuration.staged or configuration.profile).with_new_memory()
    detector, limits = configuration.detector, configuration.flow_control
    estimation = Estimation(models.is_adapter, models.lists)
    attempt = _attempt(
        scheduler,
        candidates=lambda: store.candidates,
        with_room=detector.with_room if limits is not None else None,
        match_prefix=index.match,
        reserve=ledger.reserve,
        rng=outside.rng,
        estimate=_estimate_reader(configuration, estimation, store),
        use_subset=use_subset,
    )

    def fit_class(facts: RequestFacts) -> Hashable:
        return facts.subset, scheduler.fit_key(facts)

    def saturation_for(facts: RequestFacts, now: float) -> float:
        return detector.saturation(attempt.saturation_candidates(facts), now)

    def admit(facts: RequestFacts) -> None:
        for admitter in configuration.admitters:
            endpoints = attempt.saturation_candidates(facts)
            if detail := admitter.refusal(facts, endpoints, outside.rng):
                raise Refused(Reason.SATURATED, detail, 1.0)

    queue: FlowController | LegacyAdmission
    if limits is None:
        queue = LegacyAdmission(attempt, saturation_for)
    else:
        queue = FlowController(limits, attempt, fit_class, lambda: not store.candidates)

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
        hash_prompt=_prompt_hasher(configuration),
        endpoint_at=lambda authority: _endpoint_at(store, authority),
        control=_control_reader(configuration),
        answer_for=_model_lister(models, store),
        new_request_id=outside.new_request_id,
        session_headers=configuration.session_headers,
        flow_headers=configuration.flow_headers,
        succeeded=scheduler.finished,
        admit=admit,
    )
    return Picker(configuration, store, ledger, index, estimation, models, router, queue, director)


def _attempt(
    scheduler: Profile | StagedScheduler,
    *,
    candidates: Callable[[], Sequence[Endpoint]],
    with_room: Callable[[Sequence[Endpoint], float], Sequence[Endpoint]] | None,
    match_prefix: Callable[[Sequence[int], Sequence[Endpoint], float], Mapping[Endpoint, int]],
    reserve: Callable[[Endpoint, int, int], Lease],
    rng: random.Random,
    estimate: Callable[[RequestFacts, Sequence[Endpoint], float], None] | None,
    use_subset: bool,
) -> PlacingAttempt | StagedAttempt:
    if isinstance(scheduler, StagedScheduler):
        return StagedAttempt(
            scheduler, candidates, with_room, match_prefix, reserve, rng, estimate, use_subset
        )
    return PlacingAttempt(
        scheduler, candidates, with_room, match_prefix, reserve, rng, estimate, use_subset
    )


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
