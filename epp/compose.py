"""Configuration to a director with its rooms: pure wiring, for the app, simulations and replays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from epp.config.settings import Configuration
from epp.configured import Configured, Outside, Rooms, begin_comparing, configure
from epp.core.decision import Answer, Outcome
from epp.core.endpoint import Endpoint, EndpointMetrics
from epp.core.request import RequestFacts, allows
from epp.core.shadows import ShadowCounts, ShadowStatus
from epp.datalayer.answer_health import AnswerHealth
from epp.datalayer.ledger import Ledger
from epp.datalayer.models.catalogue import ModelCatalogue
from epp.datalayer.store import Change, EndpointStore
from epp.director import Director
from epp.estimation.estimation import Estimation
from epp.flowcontrol.controller import FlowController
from epp.flowcontrol.legacy import LegacyAdmission
from epp.prefixcache.approximate import ApproximateIndex
from epp.routing.router import ModelRouter
from epp.routing.settings import RoutingSettings
from epp.scheduling.roles import decoders, prefillers
from epp.shadow.book import ShadowBook

Queue = FlowController | LegacyAdmission


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
    configured: Configured
    _rooms: Rooms
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

    @property
    def shadow_counts(self) -> Mapping[str, ShadowCounts]:
        """By profile, also of those that are shadows no more."""
        return self._rooms.shadow_book.counts()

    @property
    def shadow_statuses(self) -> Sequence[ShadowStatus]:
        """Of those in force that run."""
        shadowing = self._rooms.outside.shadowing
        if shadowing is None:
            return ()
        return self._rooms.shadow_book.statuses(shadowing.clock())

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
        running = self.configured.scheduler
        before = dict(running.profiles)
        before.update({profile.name: profile for profile in self.configured.shadow_profiles})
        scheduler = (configuration.staged or configuration.profile).with_memory_of(before)
        shadows = tuple([shadow.profile.with_memory_of(before) for shadow in configuration.shadows])
        configured = configure(configuration, scheduler, shadows, self._rooms)
        if isinstance(self.queue, LegacyAdmission):
            self.queue.reconfigure(configured.attempt, configured.saturation_for)
        else:
            assert configuration.flow_control is not None
            self.queue.reconfigure(
                configuration.flow_control,
                configured.attempt,
                configured.fit_class,
                same_classes=scheduler.what_fits == running.what_fits,
            )
        index_anew = self.index.reconfigure(configuration.prefix_cache)
        if index_anew:
            for facts in self.queue.requests():
                facts.prefix_blocks, facts.prefix_tokens = (), 0
        other_routing = configuration.routing != self.configuration.routing
        self.configuration = configuration
        self.configured = configured
        self.director.read_payload = configured.read_payload
        self.director.reading = configured.reading
        self.director.index = configured.index
        self.director.admit = lambda facts: configured.admit(facts, self._rooms.outside.rng)
        self.director.succeeded = configured.succeeded
        begin_comparing(configuration, configured, self._rooms)
        if other_routing:
            self.route(self._cluster)
        return Reconfigured(self.director.something_changed(now), index_anew)


def compose(configuration: Configuration, outside: Outside, *, use_subset: bool = True) -> Picker:
    store, ledger = EndpointStore(), Ledger()
    index = ApproximateIndex(configuration.prefix_cache)
    models = ModelCatalogue()
    scheduler = (configuration.staged or configuration.profile).with_new_memory()
    estimation = Estimation(models.is_adapter, models.lists)
    shadows = tuple([shadow.profile.with_new_memory() for shadow in configuration.shadows])
    rooms = Rooms(store, ledger, index, estimation, outside, use_subset, ShadowBook())
    configured = configure(configuration, scheduler, shadows, rooms)
    limits = configuration.flow_control
    queue: Queue
    if limits is None:
        queue = LegacyAdmission(configured.attempt, configured.saturation_for)
    else:
        queue = FlowController(
            limits,
            configured.attempt,
            configured.fit_class,
            lambda: not store.candidates,
            outside.passes,
        )

    health = AnswerHealth(store, outside.on_pause)

    def follow(change: Change) -> None:
        for endpoint in change.added:
            ledger.expect(endpoint)
        for endpoint in change.removed:
            ledger.forget(endpoint)
            index.forget(endpoint)
            estimation.forget(endpoint)
            models.forget(endpoint)
            health.forget(endpoint)

    store.subscribe(follow)
    router = ModelRouter(configuration.routing, outside.on_rewrite)
    director = Director(
        router=router,
        queue=queue,
        load=ledger,
        index=configured.index,
        estimates=estimation,
        read_payload=configured.read_payload,
        reading=configured.reading,
        endpoint_at=lambda authority: _endpoint_at(store, authority),
        answer_for=partial(_model_list, models, store),
        new_request_id=outside.new_request_id,
        admit=lambda facts: configured.admit(facts, outside.rng),
        succeeded=configured.succeeded,
        answered=health.answered,
        end_pauses=health.end_pauses,
    )
    picker = Picker(
        configuration,
        store,
        ledger,
        index,
        estimation,
        models,
        router,
        queue,
        director,
        configured,
        rooms,
    )
    begin_comparing(configuration, configured, rooms)
    return picker


def _endpoint_at(store: EndpointStore, authority: str) -> Endpoint | None:
    """Asked only when another endpoint served than the one picked."""
    return next((e for e in store.endpoints if e.authority == authority), None)


def _model_list(
    models: ModelCatalogue,
    store: EndpointStore,
    method: str,
    path: str,
    subset: frozenset[str] | None,
) -> Answer | None:
    """What the whole pool offers is asked of us; any one server knows only its own."""
    if method != "GET" or path.rstrip("/") != "/v1/models":
        return None
    document = models.document([e for e in store.candidates if allows(subset, e)])
    if document is None:
        return None
    return Answer(200, {"content-type": "application/json"}, document)
