"""What the admin pages show of one picker process, and where the gauges of the pool are read."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from epp.admin.server import AdminViews
from epp.admin.status import ConfigurationStatus, StatusSources, status
from epp.app.explaining import RunningExplainer
from epp.app.settings import ServeSettings
from epp.compose import Picker
from epp.extproc.health import Health
from epp.extproc.observer import RequestObserver
from epp.telemetry.flows import FlowCollector, FlowSources
from epp.telemetry.learned import LearnedCollector, LearnedSources
from epp.telemetry.legacy import with_twins
from epp.telemetry.metrics import Metrics
from epp.telemetry.pool import PoolCollector, PoolSources
from epp.telemetry.shadows import ShadowCollector


@dataclass(frozen=True, slots=True)
class Watched:
    """The parts of a process that somebody may look at."""

    settings: ServeSettings
    picker: Picker
    observer: RequestObserver
    metrics: Metrics
    health: Health
    configuration: Callable[[], ConfigurationStatus]
    now: Callable[[], float] = time.monotonic


def admin_views(watched: Watched) -> AdminViews:
    """Registers the gauges of the pool and of what was learned, so call it once."""
    metrics, families = watched.metrics, watched.settings.metrics_families
    sources = _status_sources(watched)
    metrics.registry.register(PoolCollector(_pool_sources(watched)))
    metrics.registry.register(FlowCollector(metrics, _flow_sources(watched)))
    metrics.registry.register(ShadowCollector(lambda: watched.picker.shadow_counts))
    metrics.registry.register(LearnedCollector(_learned_sources(watched)))
    return AdminViews(
        metrics=lambda: with_twins(metrics.registry.collect(), families),
        ready=lambda: watched.health.ready,
        status=lambda: status(sources),
        explainer=RunningExplainer(
            watched.picker,
            lambda: watched.observer.recent,
            watched.now,
            random.Random(),
        ).explainer(),
    )


def _status_sources(watched: Watched) -> StatusSources:
    picker, observer = watched.picker, watched.observer
    return StatusSources(
        pool_name=watched.settings.pool_name,
        endpoints=lambda: picker.store.endpoints,
        cached_tokens=picker.index.tokens_of,
        waiting=picker.queue.waiting,
        recent=lambda: tuple(observer.recent),
        ready=lambda: watched.health.ready,
        configuration=watched.configuration,
        estimate=lambda now: picker.estimation.pool(len(picker.store.candidates), now),
        now=watched.now,
        shadows=lambda: picker.shadow_statuses,
    )


def _pool_sources(watched: Watched) -> PoolSources:
    picker = watched.picker
    return PoolSources(
        pool_name=watched.settings.pool_name,
        endpoints=lambda: picker.store.endpoints,
        saturations=picker.saturations,
        fullness=lambda: picker.queue.fullness([o.priority for o in picker.routing.objectives]),
        prefix_blocks=lambda: len(picker.index),
        now=watched.now,
        stale_after_seconds=watched.settings.metrics_staleness_seconds,
    )


def _flow_sources(watched: Watched) -> FlowSources:
    picker = watched.picker
    return FlowSources(
        waiting=picker.queue.requests,
        placed=picker.director.flights,
        endpoints=lambda: picker.store.endpoints,
        now=watched.now,
    )


def _learned_sources(watched: Watched) -> LearnedSources:
    picker = watched.picker
    return LearnedSources(
        pool_name=watched.settings.pool_name,
        endpoints=lambda: picker.store.endpoints,
        estimate=lambda now: picker.estimation.pool(len(picker.store.candidates), now),
        token_ratios=picker.estimation.token_ratios,
        prefix_tokens=picker.index.tokens_of,
        now=watched.now,
    )
