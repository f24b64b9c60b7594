"""Gauges of what was learned of servers and traffic, read when the page is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from epp.core.endpoint import Endpoint
from epp.core.estimate import PoolEstimate
from epp.telemetry.metrics import PREFIX

MOST_ENDPOINTS: Final = 1000  # with gauges of their own: the first of the pool
ENDPOINTS_PER_SLICE: Final = 100  # of a family: about a millisecond


@dataclass(frozen=True, slots=True)
class LearnedSources:
    """Where the gauges are read."""

    pool_name: str
    endpoints: Callable[[], Sequence[Endpoint]]
    estimate: Callable[[float], PoolEstimate | None]  # at a time; None while nothing is known
    token_ratios: Callable[[], Mapping[str, float]]  # by model
    prefix_tokens: Callable[[Endpoint], int]
    now: Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Gauge:
    name: str
    text: str
    value: Callable[[PoolEstimate], float]


_PREFILL: Final[tuple[_Gauge, ...]] = (
    _Gauge("prefill_seconds", "Of any prefill, besides its tokens.", lambda e: e.prefill_seconds),
    _Gauge(
        "prefill_token_seconds",
        "Of a prefill, for every token that is not cached.",
        lambda e: e.prefill_token_seconds,
    ),
    _Gauge("uncached_tokens", "Of a mean prompt, those not cached.", lambda e: e.uncached_tokens),
)
_DECODE: Final = (
    _Gauge("decode_seconds", "Of a mean answer, alone on its server.", lambda e: e.decode_seconds),
    _Gauge(
        "decode_request_seconds",
        "More for a mean answer, for every request in flight on its server.",
        lambda e: e.decode_slope_seconds,
    ),
)


class LearnedCollector(Collector):
    """What is not known has no sample. An endpoint that left has none either."""

    def __init__(self, sources: LearnedSources) -> None:
        self._sources = sources

    def describe(self) -> Iterable[Metric]:
        return []  # the registry need not call us to learn the names

    def collect(self) -> Iterator[Metric]:
        yield from self._pool()
        ratios = _family("model_token_ratio", "Tokens to four bytes of text.", ("model_name",))
        for model, ratio in self._sources.token_ratios().items():
            ratios.add_metric([model], ratio)
        yield ratios
        yield from self._per_endpoint()

    def _pool(self) -> Iterator[Metric]:
        now = self._sources.now()
        estimate = self._sources.estimate(now)
        if estimate is None:
            return
        laws = {"prefill": (estimate.prefill_samples, estimate.prefill_learned_at)}
        gauges = _PREFILL
        if estimate.decode_samples:
            laws["decode"] = (estimate.decode_samples, estimate.decode_learned_at)
            gauges += _DECODE
        if estimate.output_tokens:
            text = "Of a mean answer."
            gauges += (_Gauge("output_tokens", text, lambda e: e.output_tokens),)
        name = self._sources.pool_name
        for gauge in gauges:
            family = _family(f"learned_{gauge.name}", gauge.text, ("name",))
            family.add_metric([name], gauge.value(estimate))
            yield family
        labels = ("name", "law")
        samples = _family("learned_samples", "What a law rests on, older ones less.", labels)
        ages = _family("learned_age_seconds", "Since the last sample of a law.", labels)
        for law, (count, learned_at) in laws.items():
            samples.add_metric([name, law], count)
            if math.isfinite(learned_at):
                ages.add_metric([name, law], now - learned_at)
        yield from (samples, ages)

    def _per_endpoint(self) -> Iterator[Metric]:
        endpoints = self._sources.endpoints()[:MOST_ENDPOINTS]
        tokens = self._sources.prefix_tokens
        known = [endpoint for endpoint in endpoints if endpoint.load.places]
        yield from _by_endpoint(
            "prefill_ratio",
            "Its time for a prefill, divided by the pool's.",
            endpoints,
            lambda e: e.estimate.prefill_ratio,
        )
        yield from _by_endpoint(
            "decode_ratio",
            "Its time for an answer, divided by the pool's.",
            endpoints,
            lambda e: e.estimate.decode_ratio,
        )
        yield from _by_endpoint(
            "prefix_kept_ratio",
            "Of cached tokens that the index believes in, those the server reported.",
            endpoints,
            lambda e: e.estimate.kept_share,
        )
        yield from _by_endpoint(
            "prefix_tokens", "Cached there, as the index believes.", endpoints, tokens
        )
        yield from _by_endpoint(
            "places", "Requests that it runs at a time.", known, lambda e: e.load.places
        )


def _by_endpoint(
    name: str, text: str, endpoints: Sequence[Endpoint], value: Callable[[Endpoint], float]
) -> Iterator[Metric]:
    """Slices of the family, in a row: a thousand endpoints must not stall the loop."""
    for start in range(0, len(endpoints), ENDPOINTS_PER_SLICE):
        family = _family(f"endpoint_{name}", text, ("endpoint_name", "namespace"))
        for endpoint in endpoints[start : start + ENDPOINTS_PER_SLICE]:
            family.add_metric([endpoint.name, endpoint.namespace], value(endpoint))
        yield family


def _family(name: str, text: str, labels: tuple[str, ...]) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, labels=labels)
