"""Counters of shadow profiles, read when the page is asked for. Nothing where there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from epp.core.shadows import ShadowCounts
from epp.telemetry.metrics import PREFIX


class ShadowCollector(Collector):
    """Labels are names of the configuration, as many as its book has."""

    def __init__(self, counts: Callable[[], Mapping[str, ShadowCounts]]) -> None:
        """`counts` gives them by profile."""
        self._counts = counts

    def describe(self) -> Iterable[Metric]:
        return []  # the registry need not call us to learn the names

    def collect(self) -> Iterator[Metric]:
        counts = self._counts()
        if not counts:
            return
        decisions = _family(
            "decisions", "Placed requests by what a shadow profile makes of them.", "result"
        )
        predicted = _family("predicted", "Compared decisions whose costs were both predicted.")
        cost = _family(
            "predicted_cost_seconds",
            "Seconds of all requests together that its picks would have saved or lost.",
            "result",
        )
        overhead = _family("overhead_seconds", "Time of the event loop that the profile took.")
        for profile, found in counts.items():
            for result, value in (
                ("agreed", found.agreed),
                ("differed", found.differed),
                ("not_placed", found.not_placed),
                ("skipped", found.skipped),
                ("failed", found.failed),
            ):
                decisions.add_metric([profile, result], value)
            predicted.add_metric([profile], found.predicted)
            cost.add_metric([profile, "saved"], found.saved_seconds)
            cost.add_metric([profile, "lost"], found.lost_seconds)
            overhead.add_metric([profile], found.overhead_seconds)
        yield from (decisions, predicted, cost, overhead)


def _family(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"{PREFIX}shadow_{name}", text, labels=("profile", *labels))
