from __future__ import annotations

import pytest

from epp.core.endpoint import Endpoint
from epp.datalayer.scraping.endpoint_health import EndpointHealth
from epp.datalayer.scraping.outcome import Failure

R, U, T, LOST, H = (
    Failure.REFUSED,
    Failure.UNREACHABLE,
    Failure.TIMEOUT,
    Failure.LOST,
    Failure.HTTP_STATUS,
)
OK = None


@pytest.mark.parametrize(
    ("scrapes", "reachable"),
    [
        pytest.param([R, R], True, id="two-refusals-are-not-enough"),
        pytest.param([R, R, R], False, id="three-are"),
        pytest.param([R, U, R], False, id="no-way-to-the-host-counts-alike"),
        pytest.param([R, R, OK, R, R], True, id="an-answer-breaks-the-streak"),
        pytest.param([R, R, H, R, R], True, id="even-a-500"),
        pytest.param([R, R, T, R], False, id="a-timeout-does-not"),
        pytest.param([T] * 9 + [LOST] * 9, True, id="timeouts-never-count"),
        pytest.param([H] * 9, True, id="nor-do-errors"),
        pytest.param([R] * 9 + [OK], True, id="one-success-is-enough"),
        pytest.param([R] * 9 + [H], True, id="so-is-a-server-without-a-metrics-page"),
        pytest.param([R] * 9 + [T], False, id="a-timeout-is-no-success"),
        pytest.param([R] * 9 + [OK, R, R], True, id="a-new-streak-starts-at-zero"),
    ],
)
def test_streaks(scrapes: list[Failure | None], reachable: bool) -> None:
    health, endpoint = EndpointHealth(), Endpoint("a", "10.0.0.1", 8000)
    for failure in scrapes:
        endpoint.reachable = health.reachable_after(endpoint, failure)
    assert endpoint.reachable is reachable


def test_endpoints_have_streaks_of_their_own_until_forgotten() -> None:
    health = EndpointHealth()
    first, second = Endpoint("a", "10.0.0.1", 8000), Endpoint("b", "10.0.0.2", 8000)
    for _ in range(2):
        health.reachable_after(first, R)
    assert health.reachable_after(second, R)
    health.forget(first)
    assert health.reachable_after(first, R)
