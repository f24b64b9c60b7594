"""Gauges of who waits and who is served, by flow, counted when the page is asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from epp.core.decision import Lease
from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.telemetry.metrics import MODELS, PREFIX, Metrics

REQUESTS_PER_SLICE: Final = 500  # counted in less than a millisecond
SAMPLES_PER_SLICE: Final = 100
ZERO_SECONDS: Final = 300.0  # that a series is shown with zero, as flows that are idle stay known
MOST_ZEROS: Final = 1000
IN_FLIGHT_PRODUCER: Final = "inflight-load-producer"  # the plugin that counts them in the field

Labels = tuple[str, ...]
Sums = dict[Labels, tuple[int, int]]


class Held(Protocol):
    """What one placed request holds."""

    @property
    def leases(self) -> Sequence[Lease]: ...
    @property
    def early_leases(self) -> Sequence[Lease]: ...


@dataclass(frozen=True, slots=True)
class FlowSources:
    """Where the gauges are read."""

    waiting: Callable[[], Iterable[RequestFacts]]
    placed: Callable[[], Sequence[tuple[RequestFacts, Held]]]  # and not finished
    endpoints: Callable[[], Sequence[Endpoint]]
    now: Callable[[], float]


class FlowCollector(Collector):
    def __init__(self, metrics: Metrics, sources: FlowSources) -> None:
        """`metrics` has the caps of label values."""
        self._metrics = metrics
        self._sources = sources
        self._waited = RecentLabels()
        self._worked = RecentLabels()

    def describe(self) -> Iterable[Metric]:
        return []  # the registry need not call us to learn the names

    def collect(self) -> Iterator[Metric]:
        """A slice without samples lets requests go between two steps of counting."""
        yield from self._queue()
        yield from self._in_flight()

    def _queue(self) -> Iterator[Metric]:
        labels = ("fairness_id", "priority", "inference_pool", *MODELS)
        size = _Gauge("flow_control_queue_size", "Requests that wait.", labels)
        volume = _Gauge("flow_control_queue_bytes", "Bytes of their bodies.", labels)
        sums: Sums = {}
        waiting = list(self._sources.waiting())
        for start in range(0, len(waiting), REQUESTS_PER_SLICE):
            yield size.family()
            self._count_waiting(waiting[start : start + REQUESTS_PER_SLICE], sums)
        for gone in self._waited.without(sums, self._sources.now()):
            sums[gone] = (0, 0)
        yield from size.slices((labels, value) for labels, (value, _) in sums.items())
        yield from volume.slices((labels, value) for labels, (_, value) in sums.items())

    def _count_waiting(self, waiting: Sequence[RequestFacts], sums: Sums) -> None:
        metrics = self._metrics
        found: dict[tuple[str, str, str, int], tuple[int, int]] = {}
        for facts in waiting:
            key = (facts.model, facts.target_model, facts.flow, facts.priority)
            requests, size = found.get(key, (0, 0))
            found[key] = (requests + 1, size + facts.size_bytes)
        for key, (requests, size) in found.items():
            model, target, flow, priority = metrics.flow_labels(*key)
            _add(sums, (flow, priority, metrics.pool_name, model, target), requests, size)

    def _in_flight(self) -> Iterator[Metric]:
        labels = ("endpoint_name", "namespace", "producer_name", "fairness_id", "priority")
        requests = _Gauge("inflight_requests", "Requests that an endpoint works on.", labels)
        text = "Prompt tokens of them that it has not computed so far, estimated."
        tokens = _Gauge("inflight_tokens", text, labels)
        sums: Sums = {}
        placed = self._sources.placed()
        for start in range(0, len(placed), REQUESTS_PER_SLICE):
            yield requests.family()
            self._count_placed(placed[start : start + REQUESTS_PER_SLICE], sums)
        pool = {(endpoint.name, endpoint.namespace) for endpoint in self._sources.endpoints()}
        for gone in self._worked.without(sums, self._sources.now()):
            sums[gone] = (0, 0)
        there = [(labels, values) for labels, values in sums.items() if labels[:2] in pool]
        yield from requests.slices((labels, value) for labels, (value, _) in there)
        yield from tokens.slices((labels, value) for labels, (_, value) in there)

    def _count_placed(self, placed: Sequence[tuple[RequestFacts, Held]], sums: Sums) -> None:
        found: dict[tuple[Endpoint, str, int], tuple[int, int]] = {}
        for facts, holds in placed:
            for lease in (*holds.leases, *holds.early_leases):
                if not lease.held:
                    continue
                key = (lease.endpoint, facts.flow, facts.priority)
                requests, tokens = found.get(key, (0, 0))
                more = lease.uncached_tokens if lease.prefilling else 0
                found[key] = (requests + 1, tokens + more)
        for (endpoint, flow, priority), (requests, tokens) in found.items():
            by = (IN_FLIGHT_PRODUCER, self._metrics.flow_cap(flow), str(priority))
            _add(sums, (endpoint.name, endpoint.namespace, *by), requests, tokens)


def _add(sums: Sums, labels: Labels, first: int, second: int) -> None:
    before = sums.get(labels, (0, 0))
    sums[labels] = (before[0] + first, before[1] + second)


class RecentLabels:
    """What had a value a while ago: a graph comes down to zero, and a sum of nothing is zero."""

    def __init__(self) -> None:
        self._seen: dict[Labels, float] = {}  # when, the longest ago first

    def without(self, present: Collection[Labels], now: float) -> list[Labels]:
        """Those seen of late that are not present; what is present counts as seen."""
        seen = self._seen
        for labels in islice(present, MOST_ZEROS):
            seen.pop(labels, None)
            seen[labels] = now
        for labels in list(seen):
            if now - seen[labels] <= ZERO_SECONDS and len(seen) <= MOST_ZEROS:
                break
            del seen[labels]
        return [labels for labels in seen if labels not in present]


@dataclass(frozen=True, slots=True)
class _Gauge:
    name: str
    text: str
    labels: Labels

    def family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(PREFIX + self.name, self.text, labels=self.labels)

    def slices(self, values: Iterator[tuple[Labels, int]]) -> Iterator[Metric]:
        """The family, which has its head also where there are no values."""
        family = self.family()
        for labels, value in values:
            if len(family.samples) == SAMPLES_PER_SLICE:
                yield family
                family = self.family()
            family.add_metric(labels, value)
        yield family
