"""Counters, gauges and histograms for the path of every request, on one thread.

The instruments of prometheus-client take a lock and walk the buckets one by one: 42 of the 156 us
that a short request costs. These have the same use and feed the same registry.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final, Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from epp.telemetry.number_text import number_text

CHILDREN_PER_SLICE: Final = 20  # of a histogram with 35 buckets: about a millisecond


class Count:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        self.value += amount


class Level:
    """A number that goes up and down."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        self.value += amount

    def dec(self, amount: float = 1.0) -> None:
        self.value -= amount

    def set(self, value: float) -> None:
        self.value = value


class Distribution:
    """Values sorted into buckets; a value equal to a bound belongs below it."""

    __slots__ = ("_edges", "_latest", "counts", "sum")

    def __init__(self, edges: list[float]) -> None:
        """`edges` are the bounds, in ascending order between both infinities."""
        self._edges = edges
        self._latest = 0  # where the value before this one belonged, as the next mostly does
        self.counts = [0] * (len(edges) - 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        edges, bucket = self._edges, self._latest
        if not edges[bucket] < value <= edges[bucket + 1]:
            bucket = self._latest = bisect_left(edges, value, 1, len(edges) - 1) - 1
        self.counts[bucket] += 1
        self.sum += value


Child = TypeVar("Child", Count, Level, Distribution)


class Family(Collector, Generic[Child]):
    """Children by label values, in the order of the label names."""

    kind = ""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry
    ) -> None:
        self.name = name
        self._text = text
        self._labels = tuple(labels)
        self._children: dict[tuple[str, ...], Child] = {}
        registry.register(self)
        if not labels:
            self.labels()

    def labels(self, *values: str) -> Child:
        """The child of these label values, made at its first use."""
        child = self._children.get(values)
        if child is None:
            if len(values) != len(self._labels):
                raise ValueError(f"{self.name}: {len(values)} values for labels {self._labels}")
            child = self._children[values] = self._make()
        return child

    def forget(self, outdated: Callable[[tuple[str, ...]], bool]) -> None:
        """Drop the children whose label values, in the order of the names, are outdated."""
        gone = [values for values in self._children if outdated(values)]
        for values in gone:
            del self._children[values]

    def describe(self) -> Iterable[Metric]:
        return [Metric(self.name, self._text, self.kind)]

    def collect(self) -> Iterator[Metric]:
        """Slices of the family, in a row: thousands of children must not stall the loop."""
        children = list(self._children.items())
        for start in range(0, max(1, len(children)), CHILDREN_PER_SLICE):
            metric = Metric(self.name, self._text, self.kind)
            for values, child in children[start : start + CHILDREN_PER_SLICE]:
                self._add(metric, dict(zip(self._labels, values, strict=True)), child)
            yield metric

    def _make(self) -> Child:
        raise NotImplementedError

    def _add(self, metric: Metric, labels: dict[str, str], child: Child) -> None:
        raise NotImplementedError


class Counter(Family[Count]):
    kind = "counter"

    def inc(self, amount: float = 1.0) -> None:
        """Of a family without labels."""
        self.labels().inc(amount)

    def _make(self) -> Count:
        return Count()

    def _add(self, metric: Metric, labels: dict[str, str], child: Count) -> None:
        metric.add_sample(f"{self.name}_total", labels, child.value)


class Gauge(Family[Level]):
    kind = "gauge"

    def _make(self) -> Level:
        return Level()

    def _add(self, metric: Metric, labels: dict[str, str], child: Level) -> None:
        metric.add_sample(self.name, labels, child.value)


class Histogram(Family[Distribution]):
    kind = "histogram"

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        registry: CollectorRegistry,
        buckets: Sequence[float],
    ) -> None:
        bounds = [float(bound) for bound in buckets]
        self._edges = [-math.inf, *bounds, math.inf]
        self._bound_texts = [number_text(bound) for bound in self._edges[1:]]
        super().__init__(name, text, labels, registry)

    def observe(self, value: float) -> None:
        """Of a family without labels."""
        self.labels().observe(value)

    def _make(self) -> Distribution:
        return Distribution(self._edges)

    def _add(self, metric: Metric, labels: dict[str, str], child: Distribution) -> None:
        total = 0
        for text, total in zip(self._bound_texts, accumulate(child.counts), strict=True):
            metric.add_sample(f"{self.name}_bucket", {**labels, "le": text}, total)
        metric.add_sample(f"{self.name}_count", labels, total)
        metric.add_sample(f"{self.name}_sum", labels, child.sum)
