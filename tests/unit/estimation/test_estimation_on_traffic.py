"""The whole picker against engine models in virtual time: what it learns is what they are."""

from __future__ import annotations

import random
import statistics
from functools import cache

import pytest

from epp.core.estimate import PoolEstimate
from epp.estimation.residency import Tier
from epp.simulation.profiles import PROFILES
from tests.helpers.traffic import BLEND, MARGINAL_COST, Asked, Traffic

H100 = PROFILES["8b-h100"]
# Of one sequence alone: 7 ms, as published for this hardware.
SINGLE_SECONDS = H100.host_seconds + H100.weights_seconds


def mixed_prompts(rng: random.Random) -> Asked:
    prompt = rng.randbytes(4 * max(16, int(rng.lognormvariate(6.5, 0.8))))
    return Asked(prompt, max(2, int(rng.lognormvariate(4.5, 0.6))))


def learned(traffic: Traffic) -> PoolEstimate:
    pool = traffic.picker.estimation.pool(len(traffic.profiles), traffic.now)
    assert pool is not None
    return pool


def assert_idle(traffic: Traffic) -> None:
    traffic.drain()
    assert len(traffic.picker.director) == 0
    traffic.picker.director.something_changed(traffic.now + 1e6)
    for endpoint in traffic.picker.store.endpoints:
        load, estimate = endpoint.load, endpoint.estimate
        assert (load.requests, load.prompt_tokens) == (0, 0)
        assert (load.prefilling_tokens, load.uncached_tokens, estimate.awaited_tokens) == (0, 0, 0)


@pytest.mark.parametrize("light", [False, True], ids=["full", "light"])
def test_the_constants_of_the_engine_are_found(light: bool) -> None:
    traffic = Traffic(["8b-h100"] * 2, mixed_prompts, rate=16.0, light=light)
    traffic.run(40.0)
    pool = learned(traffic)
    assert pool.prefill_token_seconds == pytest.approx(H100.token_seconds, rel=0.35)
    assert pool.decode_seconds / pool.output_tokens == pytest.approx(SINGLE_SECONDS, rel=0.2)
    assert pool.arrival_rate == pytest.approx(8.0, rel=0.25)
    for endpoint in traffic.picker.store.endpoints:
        assert endpoint.estimate.prefill_ratio == pytest.approx(1.0, abs=0.15)
        assert endpoint.estimate.kept_share == 1.0
    assert_idle(traffic)


def on_an_uneven_pool(document: str, *, light: bool = False, usage: bool = True) -> Traffic:
    traffic = Traffic(
        ["8b-h100", "8b-h100", "8b-a100", "8b-a100"],
        mixed_prompts,
        rate=26.0,
        light=light,
        usage=usage,
        document=document,
    )
    traffic.run(30.0)
    assert_idle(traffic)
    return traffic


@cache
def seconds_of_the_blend() -> float:
    return statistics.fmean(on_an_uneven_pool(BLEND).latencies)


@pytest.mark.parametrize(
    ("light", "usage"),
    [
        pytest.param(False, True, id="full"),
        pytest.param(False, False, id="full-without-usage"),
        pytest.param(True, True, id="light"),
        pytest.param(True, False, id="light-without-usage"),
    ],
)
def test_slow_servers_get_less_and_everybody_is_faster(light: bool, usage: bool) -> None:
    traffic = on_an_uneven_pool(MARGINAL_COST, light=light, usage=usage)
    slow, fast = (sum(traffic.served[n] for n in pair) for pair in ((2, 3), (0, 1)))
    assert slow < 0.75 * fast
    assert statistics.fmean(traffic.latencies) < 0.95 * seconds_of_the_blend()


def test_adapters_stay_where_they_are_loaded() -> None:
    def asked(rng: random.Random) -> Asked:
        adapter = min(int(rng.paretovariate(0.8)), 60)
        return Asked(rng.randbytes(1600), max(2, int(rng.lognormvariate(4.0, 0.5))), f"ad{adapter}")

    traffic = Traffic(
        ["8b-h100"] * 4,
        asked,
        rate=24.0,
        adapter_load_seconds=0.2,
        adapter_first_load_seconds=0.8,
    )
    traffic.run(60.0)
    assert_idle(traffic)
    residency = traffic.picker.estimation.residency
    assert residency.load_seconds(Tier.HOST, 0.0) == pytest.approx(0.2, rel=0.2)
    assert residency.load_seconds(Tier.AWAY, 0.0) == pytest.approx(0.8, rel=0.2)
    early, late = traffic.first_tokens[:300], traffic.first_tokens[-300:]
    assert statistics.fmean(late) < 0.5 * statistics.fmean(early)


def test_tokens_of_another_tokenizer_are_learned() -> None:
    traffic = Traffic(["8b-h100"], mixed_prompts, rate=5.0, bytes_per_token=5.0)
    traffic.run(40.0)
    assert traffic.picker.estimation.token_ratio("base") == pytest.approx(0.8, rel=0.05)
    assert_idle(traffic)
