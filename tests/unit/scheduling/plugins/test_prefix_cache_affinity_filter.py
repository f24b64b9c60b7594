from __future__ import annotations

import random

import pytest

from epp.scheduling.plugins.prefix_cache_affinity_filter import PrefixCacheAffinityFilter
from tests.helpers.build import a_request, an_endpoint

RNG = random.Random(1)


def kept(
    filter_: PrefixCacheAffinityFilter, shares: str, *, prefilling: dict[str, int] | None = None
) -> str:
    """`shares` are tenths of the prompt that a, b, c.. have cached; names of those that stay."""
    waiting = prefilling or {}
    pool = [an_endpoint(name, prefilling_tokens=waiting.get(name, 0)) for name in "abcdef"]
    pool = pool[: len(shares)]
    cached = {e: 100 * int(s) for e, s in zip(pool, shares, strict=True) if s != "0"}
    request = a_request(prefix_tokens=1000, cached_tokens=cached)
    return "".join(endpoint.name for endpoint in filter_.prefer(request, pool, RNG))


@pytest.mark.parametrize(
    ("shares", "expected"),
    [("089", "bc"), ("079", "c"), ("077", "abc"), ("000", "abc"), ("888", "abc"), ("8", "a")],
)
def test_those_with_enough_of_the_prompt_stay(shares: str, expected: str) -> None:
    assert kept(PrefixCacheAffinityFilter(), shares) == expected


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [(286_704, "a"), (286_705, "abc")],  # 18 s at 15928 tokens/s
)
def test_the_cache_is_worth_so_long_a_wait(ahead: int, expected: str) -> None:
    prefilling = {"a": ahead + 500, "b": 500, "c": 9000}
    assert kept(PrefixCacheAffinityFilter(), "900", prefilling=prefilling) == expected


def test_the_best_of_those_with_the_prompt_is_compared_with_the_best_of_the_others() -> None:
    filter_ = PrefixCacheAffinityFilter(max_ttft_penalty_ms=1000, peak_prefill_throughput=100)
    busy = {"a": 10_000, "b": 150, "c": 50, "d": 10_000}
    assert kept(filter_, "9900", prefilling=busy) == "ab"
    assert kept(filter_, "9900", prefilling={**busy, "b": 151}) == "abcd"


@pytest.mark.parametrize("threshold", [0.0, -1.0])
def test_without_a_threshold_all_stay(threshold: float) -> None:
    assert kept(PrefixCacheAffinityFilter(affinity_threshold=threshold), "09") == "ab"


def test_sometimes_others_are_explored() -> None:
    filter_ = PrefixCacheAffinityFilter(exploration_probability=0.25)
    explored = sum(kept(filter_, "09") == "ab" for _ in range(2000))
    assert abs(explored - 500) < 97  # five standard deviations


def test_a_request_without_a_prompt_prefers_nothing() -> None:
    pool = [an_endpoint(), an_endpoint()]
    assert PrefixCacheAffinityFilter().prefer(a_request(), pool, RNG) == pool


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"affinity_threshold": 1.1}, "affinityThreshold: 1.1"),
        ({"exploration_probability": 2.0}, "explorationProbability: 2.0"),
        ({"max_ttft_penalty_ms": -1.0}, "maxTTFTPenaltyMs: -1.0"),
        ({"peak_prefill_throughput": 0.0}, "peakPrefillThroughput: 0.0"),
    ],
)
def test_wrong_parameters(fields: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        PrefixCacheAffinityFilter(**fields)  # type: ignore[arg-type]
