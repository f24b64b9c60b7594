"""Gauges of who waits, flow by flow, counted when the page is asked for: no cost in between."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from epp.core.request import RequestFacts
from epp.telemetry.metrics import MODELS, PREFIX, Metrics

REQUESTS_PER_SLICE: Final = 500  # counted in less than a millisecond
SAMPLES_PER_SLICE: Final = 100
ZERO_SECONDS: Final = 300.0  # that a series is shown with zero, as flows that are idle stay known
MOST_ZEROS: Final = 1000

Labels = tuple[str, ...]
Sums = dict[Labels, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class FlowSources:
    """Where the gauges are read."""

    waiting: Callable[[], Iterable[RequestFacts]]
    now: Callable[[], float]


class FlowCollector(Collector):
    def __init__(self, metrics: Metrics, sources: FlowSources) -> None:
        """`metrics` has the caps of label values."""
        self._metrics = metrics
        self._sources = sources
        self._waited = RecentLabels()

    def describe(self) -> Iterable[Metric]:
        return []  # the registry need not call us to learn the names

    def collect(self) -> Iterator[Metric]:
        size = _Gauge(
            "flow_control_queue_size",
            "Requests that wait.",
            ("fairness_id", "priority", "inference_pool", *MODELS),
        )
        volume = _Gauge("flow_control_queue_bytes", "Bytes of their bodies.", size.labels)
        sums: Sums = {}
        waiting = list(self._sources.waiting())
        for start in range(0, len(waiting), REQUESTS_PER_SLICE):
            yield size.family()  # without samples, it lets requests go between
            self._count(waiting[start : start + REQUESTS_PER_SLICE], sums)
        for labels in self._waited.without(sums, self._sources.now()):
            sums[labels] = (0, 0)
        yield from size.slices((labels, value) for labels, (value, _) in sums.items())
        yield from volume.slices((labels, value) for labels, (_, value) in sums.items())

    def _count(self, waiting: Sequence[RequestFacts], sums: Sums) -> None:
        metrics = self._metrics
        found: dict[tuple[str, str, str, int], tuple[int, int]] = {}
        for facts in waiting:
            key = (facts.model, facts.target_model, facts.flow, facts.priority)
            requests, size = found.get(key, (0, 0))
            found[key] = (requests + 1, size + facts.size_bytes)
        for key, (requests, size) in found.items():
            model, target, flow, priority = metrics.flow_labels(*key)
            labels = (flow, priority, metrics.pool_name, model, target)
            before, size_before = sums.get(labels, (0, 0))
            sums[labels] = (before + requests, size_before + size)


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
