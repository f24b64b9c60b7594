"""Gauges of the pool, read when the page is asked for: no cost in between."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from epp.core.endpoint import Endpoint
from epp.core.fullness import Fullness
from epp.telemetry.metrics import PREFIX, PREFIX_INDEX


@dataclass(frozen=True, slots=True)
class PoolSources:
    """Where the gauges are read."""

    pool_name: str
    endpoints: Callable[[], Sequence[Endpoint]]
    saturations: Callable[[float], Mapping[str, float]]  # by stage
    fullness: Callable[[], Fullness]
    prefix_blocks: Callable[[], int]
    now: Callable[[], float]
    stale_after_seconds: float = 2.0


class PoolCollector(Collector):
    def __init__(self, sources: PoolSources) -> None:
        self._sources = sources

    def describe(self) -> Iterable[Metric]:
        return []  # the registry need not call us to learn the names

    def collect(self) -> Iterator[Metric]:
        sources = self._sources
        endpoints, now = sources.endpoints(), sources.now()
        fresh = [
            endpoint
            for endpoint in endpoints
            if now - endpoint.metrics.load_read_at <= sources.stale_after_seconds
        ]
        yield from self._averages(fresh)
        yield self._pool_gauge("ready_endpoints", "Endpoints with fresh metrics.", len(fresh))
        yield from self._per_endpoint(endpoints)
        saturation = self._family(
            "flow_control_pool_saturation", "Load over capacity.", ("inference_pool", "stage")
        )
        for stage, value in sources.saturations(now).items():
            saturation.add_metric([sources.pool_name, stage], value)
        yield saturation
        yield from self._fullness(sources.fullness())
        yield self._family_of(
            "prefix_indexer_size",
            "Prefix blocks known, summed over endpoints.",
            PREFIX_INDEX,
            sources.prefix_blocks(),
        )

    def _averages(self, fresh: Sequence[Endpoint]) -> Iterator[Metric]:
        if not fresh:
            return
        readings = {
            "kv_cache_utilization": [e.metrics.kv_cache_usage for e in fresh],
            "queue_size": [float(e.metrics.waiting) for e in fresh],
            "running_requests": [float(e.metrics.running) for e in fresh],
        }
        for name, values in readings.items():
            text = name.replace("_", " ")
            mean = round(statistics.fmean(values), 2)
            yield self._pool_gauge(f"average_{name}", f"Mean {text} of the pool.", mean)
            spread = round(statistics.stdev(values), 2) if len(values) > 1 else 0.0
            yield self._pool_gauge(f"std_dev_{name}", f"Spread of {text}.", spread)

    def _per_endpoint(self, endpoints: Sequence[Endpoint]) -> Iterator[Metric]:
        queue = self._family(
            "per_endpoint_queue_size",
            "Requests that wait in the engine.",
            ("name", "model_server_endpoint"),
        )
        labels = ("endpoint_name", "namespace")
        ours = self._family("endpoint_inflight_requests", "Ours, not finished.", labels)
        foreign = self._family("endpoint_foreign_requests", "Not ours, by the scrapes.", labels)
        reachable = self._family("endpoint_reachable", "1 if it takes connections.", labels)
        for endpoint in endpoints:
            queue.add_metric([self._sources.pool_name, endpoint.name], endpoint.metrics.waiting)
            name = [endpoint.name, endpoint.namespace]
            ours.add_metric(name, endpoint.load.requests)
            foreign.add_metric(name, endpoint.load.foreign)
            reachable.add_metric(name, float(endpoint.reachable))
        yield from (queue, ours, foreign, reachable)

    def _fullness(self, fullness: Fullness) -> Iterator[Metric]:
        labels = ("priority", "inference_pool")
        pool, name = self._sources.pool_name, "flow_control_capacity_utilization_"
        requests = self._family(f"{name}requests", "Of a priority's limit of requests.", labels)
        volume = self._family(f"{name}bytes", "Of a priority's limit of bytes.", labels)
        for priority, (of_requests, of_bytes) in fullness.bands.items():
            requests.add_metric([str(priority), pool], of_requests)
            volume.add_metric([str(priority), pool], of_bytes)
        yield from (requests, volume)
        for unit, share in (("requests", fullness.requests), ("bytes", fullness.bytes)):
            if share is not None:
                name = f"flow_control_global_capacity_utilization_{unit}"
                text = f"Of the limit of {unit} of all priorities."
                yield self._family_of(name, text, {"inference_pool": pool}, share)

    def _pool_gauge(self, name: str, text: str, value: float) -> Metric:
        return self._family_of(name, text, {"name": self._sources.pool_name}, value)

    @staticmethod
    def _family(name: str, text: str, labels: tuple[str, ...]) -> GaugeMetricFamily:
        return GaugeMetricFamily(PREFIX + name, text, labels=labels)

    @staticmethod
    def _family_of(name: str, text: str, labels: Mapping[str, str], value: float) -> Metric:
        family = GaugeMetricFamily(PREFIX + name, text, labels=tuple(labels))
        family.add_metric(list(labels.values()), value)
        return family
