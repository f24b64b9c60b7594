from __future__ import annotations

import pytest

from epp.scheduling.marginal_cost import marginal_costs, uncached_tokens
from tests.helpers.build import a_request, an_endpoint


def test_tokens_in_front_count_once() -> None:
    idle, queued = an_endpoint(), an_endpoint()
    queued.load.prefilling_tokens = 300
    assert marginal_costs(a_request(prompt_tokens=100), [idle, queued]) == [100, 400]


def test_own_tokens_count_for_every_request_that_they_hold_up() -> None:
    quiet, busy = an_endpoint(requests=1), an_endpoint(requests=4)
    assert marginal_costs(a_request(prompt_tokens=100), [quiet, busy]) == [200, 500]


def test_requests_of_others_are_held_up_too() -> None:
    [cost] = marginal_costs(a_request(prompt_tokens=100), [an_endpoint(requests=1, foreign=2.5)])
    assert cost == 450


def test_a_foreign_request_is_taken_to_have_as_much_left_to_compute_as_ours() -> None:
    ours, theirs = an_endpoint(requests=2), an_endpoint(foreign=3.0)
    ours.load.prefilling_tokens = 800
    request = a_request(prompt_tokens=1)
    assert marginal_costs(request, [ours, theirs]) == [800 + 3, 3 * 400 + 4]
    assert marginal_costs(request, [theirs]) == [4]  # nothing of ours to go by


def test_cached_tokens_cost_nothing() -> None:
    warm, cold = an_endpoint(requests=9), an_endpoint()
    request = a_request(prompt_tokens=1000, cached_tokens={warm: 960})
    assert marginal_costs(request, [warm, cold]) == [400, 1000]


@pytest.mark.parametrize(
    ("prompt", "cached", "expected"),
    [
        pytest.param(100, 0, 100, id="cold"),
        pytest.param(100, 64, 36, id="warm"),
        pytest.param(100, 128, 1, id="the-last-token-is-always-computed"),
        pytest.param(0, 0, 1, id="a-prompt-that-was-not-read"),
    ],
)
def test_uncached_tokens(prompt: int, cached: int, expected: int) -> None:
    endpoint = an_endpoint()
    request = a_request(prompt_tokens=prompt, cached_tokens={endpoint: cached})
    assert uncached_tokens(request, endpoint) == expected
