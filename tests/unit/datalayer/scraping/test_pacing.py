from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.core.endpoint import Endpoint, EndpointMetrics
from epp.datalayer.scraping.pacing import (
    back_off,
    is_surprising,
    jittered,
    next_interval,
    next_launch,
)
from epp.datalayer.scraping.settings import ScrapeSettings

SETTINGS = ScrapeSettings(interval_seconds=0.05, idle_interval_seconds=1.0)


def after(
    previous: float,
    *,
    own: int = 0,
    own_at_start: int = 0,
    foreign: float = 0.0,
    running: int = 0,
    waiting: int = 0,
    pool_size: int = 10,
) -> float:
    endpoint = Endpoint("a", "10.0.0.1", 8000)
    endpoint.load.requests, endpoint.load.foreign = own, foreign
    metrics = EndpointMetrics(running=running, waiting=waiting)
    return next_interval(previous, endpoint, metrics, own_at_start, SETTINGS, pool_size)


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        pytest.param({"own": 1, "running": 1}, 0.05, id="busy-with-ours"),
        pytest.param({"foreign": 3.0, "running": 3}, 0.05, id="busy-with-others"),
        pytest.param({"waiting": 1}, 0.05, id="queueing"),
        pytest.param({"own": 1}, 0.05, id="placed-and-not-seen-yet"),
        pytest.param({"foreign": 1.5}, 0.05, id="a-belief-that-has-not-settled"),
        pytest.param({"own_at_start": 1}, 0.05, id="finished-meanwhile"),
        pytest.param({}, 0.6, id="quiet"),
        pytest.param({"foreign": 0.4}, 0.6, id="nearly-settled"),
    ],
)
def test_busy_and_surprising_endpoints_are_looked_at_often(
    load: dict[str, float], expected: float
) -> None:
    assert after(0.4, **load) == pytest.approx(expected)  # type: ignore[arg-type]


def test_a_quiet_endpoint_is_left_alone_by_and_by() -> None:
    intervals = [0.05]
    while intervals[-1] < 1.0:
        intervals.append(after(intervals[-1]))
    assert len(intervals) == 9
    assert intervals == sorted(intervals)
    assert after(1.0) == 1.0


def test_an_interval_above_the_idle_one_holds_for_all() -> None:
    settings = ScrapeSettings(interval_seconds=5.0)
    endpoint = Endpoint("a", "10.0.0.1", 8000)
    assert next_interval(5.0, endpoint, EndpointMetrics(), 0, settings, 10) == 5.0


def test_in_a_very_large_pool_quiet_endpoints_leave_room_for_busy_ones() -> None:
    assert after(10.0, pool_size=500) == 1.0
    assert after(10.0, pool_size=1000) == 2.0
    assert after(10.0, pool_size=1000, own=1) == 0.05


def test_a_request_that_came_or_went_during_the_scrape_is_no_surprise() -> None:
    endpoint = Endpoint("a", "10.0.0.1", 8000)
    endpoint.load.requests = 2
    assert not is_surprising(endpoint, EndpointMetrics(running=3), requests_at_start=3)
    assert not is_surprising(endpoint, EndpointMetrics(running=2), requests_at_start=1)
    assert is_surprising(endpoint, EndpointMetrics(running=4), requests_at_start=2)


@given(st.integers())
def test_jitter_never_shortens(seed: int) -> None:
    assert 0.05 <= jittered(0.05, random.Random(seed)) <= 0.06


@given(st.integers(), st.floats(0.0, 1e7), st.floats(0.051, 60.0))
def test_a_quiet_endpoint_is_asked_no_sooner_and_not_much_later(
    seed: int, launched_at: float, interval: float
) -> None:
    waited = next_launch(launched_at, interval, SETTINGS, random.Random(seed)) - launched_at
    assert interval * (1.0 - 1e-6) <= waited <= interval * 1.3 + 1e-6


def test_quiet_endpoints_are_asked_at_few_moments() -> None:
    rng = random.Random(1)
    moments = {next_launch(100.0 + rng.random(), 1.0, SETTINGS, rng) for _ in range(1000)}
    assert len(moments) <= 13


def test_an_endpoint_that_is_asked_often_waits_for_no_other() -> None:
    expected = 100.0 + jittered(0.05, random.Random(1))
    assert next_launch(100.0, 0.05, SETTINGS, random.Random(1)) == expected


@given(st.integers(), st.integers(1, 10_000))
def test_back_off_stays_within_its_bounds(seed: int, failures: int) -> None:
    wait = back_off(failures, SETTINGS, random.Random(seed))
    assert SETTINGS.interval_seconds <= wait <= SETTINGS.max_back_off_seconds


def test_back_off_grows() -> None:
    waits = [back_off(failures, SETTINGS, random.Random(1)) for failures in (1, 2, 3, 4, 5, 9)]
    assert waits == sorted(waits)
    assert waits[0] < 0.2
    assert waits[-1] == 5.0
