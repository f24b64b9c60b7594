"""Kubernetes discovery in the running picker: its news go to the store, the router and health."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from epp.compose import Picker
from epp.datalayer.discovery.kubernetes.discovery import KubernetesDiscovery, Outlets
from epp.datalayer.discovery.kubernetes.settings import KubernetesSettings
from epp.datalayer.discovery.kubernetes.view import ClusterRouting
from epp.extproc.health import Health
from epp.routing.settings import (
    ModelPriority,
    ModelRewrite,
    Objective,
    RoutingSettings,
    Rule,
    Target,
)
from epp.telemetry.metrics import Metrics

# For the pool to be known before the ext-proc port listens: an Envoy beside the picker asks it as
# soon as it does, and does without it until then.
FIRST_POOL_SECONDS = 5.0


@dataclass(slots=True)
class PoolReadiness:
    """Not ready as soon as the pool is gone; ready when its endpoints have been looked at."""

    health: Health
    looked_around: Callable[[], Awaitable[None]]
    _known: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _first: asyncio.Event = field(default_factory=asyncio.Event)

    def set_known(self, known: bool) -> None:
        self._known = known
        if not known:
            self.health.set_pool_known(False)
        self._news.set()

    async def run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if self._known:
                await self.looked_around()
                self.health.set_pool_known(self._known)
                self._first.set()

    async def first(self) -> None:
        """Returns when the pool is known for the first time and looked at, or after a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_POOL_SECONDS):
                await self._first.wait()


def cluster_discovery(
    settings: KubernetesSettings, picker: Picker, metrics: Metrics, readiness: PoolReadiness
) -> KubernetesDiscovery:
    """What the configuration document says of routing counts before what the cluster says."""

    def route(cluster: ClusterRouting) -> None:
        metrics.model_cap.exempt(picker.route(routing_settings(cluster)).model_names())

    outlets = Outlets(picker.store.apply, route, readiness.set_known)
    return KubernetesDiscovery(settings, outlets, random.Random())


def routing_settings(cluster: ClusterRouting) -> RoutingSettings:
    return RoutingSettings(
        tuple(Objective(name, priority) for name, priority in cluster.priorities),
        tuple(
            ModelRewrite(
                name,
                tuple(
                    Rule(
                        tuple(Target(target.model, target.weight) for target in rule.targets),
                        rule.models,
                    )
                    for rule in rules
                ),
            )
            for name, rules in cluster.rewrites
        ),
        tuple(ModelPriority(model, priority) for model, priority in cluster.model_priorities),
    )
