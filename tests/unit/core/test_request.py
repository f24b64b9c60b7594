from __future__ import annotations

import pytest

from epp.core.request import MAX_NAME_CHARACTERS, bounded_name
from tests.helpers.build import a_request, an_endpoint


@pytest.mark.parametrize(
    ("prompt", "cached", "kept", "expected"),
    [
        pytest.param(100, 0, 1.0, 100, id="cold"),
        pytest.param(100, 64, 1.0, 36, id="warm"),
        pytest.param(100, 64, 0.5, 68, id="half-of-it-is-gone"),
        pytest.param(100, 128, 1.0, 1, id="the-last-token-is-always-computed"),
        pytest.param(0, 0, 1.0, 1, id="a-prompt-that-was-not-read"),
    ],
)
def test_uncached_tokens(prompt: int, cached: int, kept: float, expected: int) -> None:
    endpoint = an_endpoint()
    endpoint.estimate.kept_share = kept
    request = a_request(prompt_tokens=prompt, cached_tokens={endpoint: cached})
    assert request.uncached_on(endpoint) == expected


def test_a_long_name_stays_one_of_its_own() -> None:
    assert bounded_name("a" * MAX_NAME_CHARACTERS) == "a" * MAX_NAME_CHARACTERS
    long = [bounded_name("a" * 10_000 + end) for end in ("x", "y", "\udce9")]
    assert len(set(long)) == 3
    assert {len(name) for name in long} == {MAX_NAME_CHARACTERS}
    assert long[0].startswith("a" * 200)
