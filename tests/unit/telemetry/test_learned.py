from __future__ import annotations

from dataclasses import replace

from epp.core.endpoint import Endpoint
from epp.core.estimate import PoolEstimate
from epp.telemetry.learned import (
    ENDPOINTS_PER_SLICE,
    MOST_ENDPOINTS,
    LearnedCollector,
    LearnedSources,
)
from tests.helpers.build import an_endpoint

ESTIMATE = PoolEstimate(
    prefill_seconds=0.01,
    prefill_token_seconds=0.00003,
    prefill_samples=12.5,
    prefill_learned_at=7.0,
    uncached_tokens=400.0,
)


def a_pool() -> list[Endpoint]:
    slow, fresh = an_endpoint("slow"), an_endpoint("fresh")
    slow.estimate.prefill_ratio, slow.estimate.decode_ratio = 2.0, 1.5
    slow.estimate.kept_share, slow.load.places = 0.25, 8
    return [slow, fresh]


def values(pool: list[Endpoint], estimate: PoolEstimate | None = ESTIMATE) -> dict[str, float]:
    sources = LearnedSources(
        pool_name="p",
        endpoints=lambda: pool,
        estimate=lambda now: estimate if now == 10.0 else None,
        token_ratios=lambda: {"m": 1.25},
        prefix_tokens=lambda endpoint: 640 if endpoint.name == "slow" else 0,
        now=lambda: 10.0,
    )
    return {
        f"{s.name.removeprefix('llm_d_epp_')}{list(s.labels.values())}": s.value
        for family in LearnedCollector(sources).collect()
        for s in family.samples
    }


def test_how_an_endpoint_differs() -> None:
    found = values(a_pool())
    assert found["endpoint_prefill_ratio['slow', 'default']"] == 2.0
    assert found["endpoint_decode_ratio['slow', 'default']"] == 1.5
    assert found["endpoint_prefix_kept_ratio['slow', 'default']"] == 0.25
    assert found["endpoint_prefix_tokens['slow', 'default']"] == 640
    assert found["endpoint_places['slow', 'default']"] == 8
    assert found["endpoint_prefill_ratio['fresh', 'default']"] == 1.0
    assert found["model_token_ratio['m']"] == 1.25


def test_what_is_not_known_has_no_sample() -> None:
    found = values(a_pool())
    assert "endpoint_places['fresh', 'default']" not in found
    assert found["learned_prefill_token_seconds['p']"] == 0.00003
    assert not any("decode" in name and "learned" in name for name in found)
    assert "learned_output_tokens['p']" not in found
    assert not any(name.startswith("learned") for name in values(a_pool(), None))


def test_laws_with_their_samples_and_their_age() -> None:
    estimate = replace(
        ESTIMATE,
        decode_seconds=1.5,
        decode_slope_seconds=0.02,
        decode_samples=40.0,
        decode_learned_at=9.0,
        output_tokens=200.0,
    )
    found = values(a_pool(), estimate)
    assert found["learned_prefill_seconds['p']"] == 0.01
    assert found["learned_uncached_tokens['p']"] == 400
    assert found["learned_decode_seconds['p']"] == 1.5
    assert found["learned_decode_request_seconds['p']"] == 0.02
    assert found["learned_output_tokens['p']"] == 200
    assert found["learned_samples['p', 'prefill']"] == 12.5
    assert found["learned_age_seconds['p', 'prefill']"] == 3.0
    assert found["learned_age_seconds['p', 'decode']"] == 1.0


def test_an_endpoint_that_left_has_none_and_their_number_has_a_limit() -> None:
    pool = [an_endpoint(f"e{n}") for n in range(MOST_ENDPOINTS + ENDPOINTS_PER_SLICE)]
    names = [name for name in values(pool) if name.startswith("endpoint_prefill_ratio")]
    assert len(names) == MOST_ENDPOINTS
    assert "endpoint_prefill_ratio['e0', 'default']" in values(pool)
    assert "endpoint_prefill_ratio['e0', 'default']" not in values(pool[1:])
