from __future__ import annotations

import pytest

from epp.scheduling.plugins.utilization_filter import Condition, Metric, UtilizationFilter
from tests.helpers.build import a_request, an_endpoint

POOL = [
    an_endpoint("idle"),
    an_endpoint("busy", requests=6, foreign=2.0, waiting=3, kv_cache_usage=0.5),
    an_endpoint("full", requests=2, foreign=9.0, waiting=1, kv_cache_usage=0.9),
]


@pytest.mark.parametrize(
    ("metric", "most", "kept"),
    [
        (Metric.ACTIVE_REQUESTS, 2, ["idle", "full"]),
        (Metric.RUNNING_REQUESTS, 5, ["idle", "busy"]),  # 6 + 2 - 3 and 2 + 9 - 1
        (Metric.WAITING_QUEUE, 1, ["idle", "full"]),
        (Metric.WAITING_QUEUE, 0, ["idle"]),
        (Metric.KV_CACHE_UTILIZATION, 0.5, ["idle", "busy"]),
    ],
)
def test_those_at_most_at_the_limit_stay(metric: Metric, most: float, kept: list[str]) -> None:
    filter_ = UtilizationFilter((Condition(metric, most),))
    assert [endpoint.name for endpoint in filter_.keep(a_request(), POOL)] == kept
    assert filter_.fit_key(a_request()) == filter_.fit_key(a_request())


def test_all_conditions_hold_together() -> None:
    conditions = (Condition(Metric.ACTIVE_REQUESTS, 2), Condition(Metric.RUNNING_REQUESTS, 5))
    assert UtilizationFilter(conditions).keep(a_request(), POOL) == POOL[:1]


@pytest.mark.parametrize(("fallback", "kept"), [(False, 0), (True, 2)])
def test_where_none_is_under_the_limits(fallback: bool, kept: int) -> None:
    filter_ = UtilizationFilter((Condition(Metric.WAITING_QUEUE, 0),), fallback)
    assert len(filter_.keep(a_request(), POOL[1:])) == kept


@pytest.mark.parametrize(
    ("metric", "most"),
    [
        (Metric.WAITING_QUEUE, -1.0),
        (Metric.KV_CACHE_UTILIZATION, 1.5),
        (Metric.WAITING_QUEUE, float("nan")),
    ],
)
def test_limits_are_possible_values(metric: Metric, most: float) -> None:
    with pytest.raises(ValueError, match="maxValue"):
        Condition(metric, most)


def test_a_condition_is_needed() -> None:
    with pytest.raises(ValueError, match="conditions: at least one"):
        UtilizationFilter(())
