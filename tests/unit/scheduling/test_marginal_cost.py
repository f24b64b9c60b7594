from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.core.endpoint import Endpoint
from epp.core.estimate import PoolEstimate
from epp.estimation.recent import RecentPrompts
from epp.scheduling.marginal_cost import marginal_costs
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


def test_an_adapter_counts_in_tokens_too() -> None:
    there, near = an_endpoint(requests=2), an_endpoint(requests=1)
    facts = {"adapter_loads": {near: 512.0}, "adapter_waits": {there: 64.0}}
    request = a_request(prompt_tokens=100, adapter="a", **facts)
    assert marginal_costs(request, [there, near]) == [300 + 64, 200 + 2 * 512]


# In seconds: 10 us a token, 5 ms a prefill, 2 s a decode, 0.1 s more for each in flight.
POOL = PoolEstimate(
    prefill_seconds=0.005,
    prefill_token_seconds=1e-5,
    prefill_samples=100.0,
    prefill_learned_at=50.0,
    decode_seconds=2.0,
    decode_slope_seconds=0.1,
    output_tokens=200.0,
    uncached_tokens=800.0,
    finish_rate=4.0,
)
NOW = 60.0


def cost(endpoint: Endpoint, pool: PoolEstimate = POOL, **facts: object) -> float:
    given = {"prompt_tokens": 1000, "attempted_at": NOW, "estimate": pool, **facts}
    [found] = marginal_costs(a_request(**given), [endpoint])
    return found


WORK, DECODE = 0.005 + 0.01, 2.0 + 0.1
MEAN_WORK = 0.005 + 0.008


def test_an_idle_server_costs_the_work_and_the_decode() -> None:
    assert cost(an_endpoint()) == pytest.approx(WORK + DECODE)


@pytest.mark.parametrize("tokens", [14_000, 600])
def test_prefills_that_are_awaited_are_waited_for(tokens: int) -> None:
    endpoint = an_endpoint()
    endpoint.estimate.awaited_tokens = tokens
    wait = 1e-5 * tokens
    twice = min(wait, MEAN_WORK)
    assert cost(endpoint) == pytest.approx(wait + twice + WORK + DECODE)


@pytest.mark.parametrize("cached", [0, 900])
def test_who_is_late_anyway_loses_less_by_another_second(cached: int) -> None:
    def waits(seconds: float, tokens: int) -> float:
        endpoint = an_endpoint()
        endpoint.estimate.clear_at = NOW + seconds
        return cost(endpoint, prompt_tokens=tokens, cached_tokens={endpoint: cached})

    ten_prefills, ten_mean_ones = 10 * WORK, 10 * MEAN_WORK
    assert waits(ten_prefills, 1000) - waits(0.1, 1000) == pytest.approx(ten_prefills - 0.1)
    assert waits(1.0 + ten_prefills, 1000) - waits(ten_prefills, 1000) == pytest.approx(0.5)
    # A short prompt has the patience of a mean one.
    assert waits(1.0 + ten_mean_ones, 10) - waits(ten_mean_ones, 10) == pytest.approx(0.5)


@pytest.mark.parametrize(("clear_at", "wait"), [(NOW + 0.13, 0.13), (NOW - 0.7, 0.0)])
def test_the_clock_is_waited_for_while_it_runs(clear_at: float, wait: float) -> None:
    endpoint = an_endpoint()
    endpoint.estimate.clear_at = clear_at
    assert cost(endpoint) == pytest.approx(wait + min(wait, MEAN_WORK) + WORK + DECODE)


def test_those_in_flight_stand_still_and_decode_more_slowly() -> None:
    stall, slower = 5 * 0.01, 2 * 5 * 0.1
    assert cost(an_endpoint(requests=3, foreign=2.0)) == pytest.approx(
        WORK + DECODE + stall + slower
    )


def test_foreign_requests_are_waited_for_as_ours() -> None:
    ours, theirs = an_endpoint(requests=2), an_endpoint(foreign=3.0)
    ours.load.prefilling_tokens = 800
    request = a_request(prompt_tokens=1000, attempted_at=NOW, estimate=POOL)
    costs = marginal_costs(request, [ours, theirs])
    wait = 3 * 400 * 1e-5
    assert costs[1] == pytest.approx(WORK + DECODE + 3 * 0.01 + 2 * 3 * 0.1 + 2 * wait)


def test_a_slow_server_takes_longer_for_everything() -> None:
    endpoint = an_endpoint(requests=1)
    endpoint.estimate.prefill_ratio, endpoint.estimate.decode_ratio = 3.0, 2.0
    assert cost(endpoint) == pytest.approx(3 * (WORK + 0.01) + 2 * (2.0 + 3 * 0.1))


def test_requests_still_to_come_lose_by_a_longer_queue() -> None:
    prompts = RecentPrompts()
    prompts.add(10_000)  # 0.105 s elsewhere: more than this queue
    pool = replace(POOL, arrival_rate=8.0, prompts=prompts.sample)
    endpoint = an_endpoint()
    endpoint.estimate.clear_at = NOW + 0.02
    later = 8.0 * ((0.02 + WORK) ** 2 - 0.02**2) / 2
    assert cost(endpoint, pool) == pytest.approx(0.02 + MEAN_WORK + WORK + DECODE + later)


def test_where_few_come_few_lose_by_a_longer_queue() -> None:
    prompts = RecentPrompts()
    prompts.add(10_000)
    pool = replace(POOL, arrival_rate=8.0, prompts=prompts.sample)
    often, rarely = an_endpoint(), an_endpoint()
    often.estimate.arrivals, often.estimate.arrivals_since = 32, NOW - 1.0
    rarely.estimate.arrivals, rarely.estimate.arrivals_since = 4, NOW - 5.0
    of_one = WORK**2 / 2  # a second
    # As if eight more had come in the second before, at the rate of all.
    alone = WORK + DECODE
    assert cost(often, pool) == pytest.approx(alone + (8 + 32) / (1.0 + 1.0) * of_one)
    assert cost(rarely, pool) == pytest.approx(alone + (8 + 4) / (1.0 + 5.0) * of_one)
    silent = replace(pool, arrival_rate=0.0)
    assert cost(often, silent) == pytest.approx(alone)


def test_a_full_cache_is_waited_for_until_others_have_ended() -> None:
    endpoint = an_endpoint(kv_cache_usage=0.9, block_size_tokens=16, num_blocks=1000)
    assert cost(endpoint) == pytest.approx(WORK + DECODE)  # 1600 tokens are free
    endpoint.estimate.tokens_since_reading = 900
    assert cost(endpoint) == pytest.approx(WORK + DECODE + (500 / 1000) / 4.0)


@pytest.mark.parametrize(("usage", "waits"), [(0.95, 3 / 4.0), (0.85, 0.0)])
def test_a_queue_in_front_of_a_full_cache_is_waited_for(usage: float, waits: float) -> None:
    endpoint = an_endpoint(
        waiting=3, kv_cache_usage=usage, block_size_tokens=16, num_blocks=100_000
    )
    assert cost(endpoint) == pytest.approx(WORK + DECODE + waits)


@pytest.mark.parametrize(
    ("residence", "finish_rate", "ratio", "waits"),
    [
        pytest.param(4.0, 0.0, 1.0, 5 * 4.0 / 8, id="lives"),
        pytest.param(4.0, 1.0, 1.0, 5 * 4.0 / 8, id="little-ends-where-little-comes"),
        pytest.param(40.0, 4.0, 1.0, 5 / 4.0, id="lives-in-queues"),
        pytest.param(40.0, 4.0, 2.0, 2 * 5 / 4.0, id="of-a-slow-server"),
    ],
)
def test_a_queue_for_a_place_is_waited_for(
    residence: float, finish_rate: float, ratio: float, waits: float
) -> None:
    pool = replace(POOL, residence_seconds=residence, finish_rate=finish_rate)
    known, seen = an_endpoint(), an_endpoint(waiting=5, running=8)
    known.load.places = 8
    for endpoint in (known, seen):
        endpoint.estimate.decode_ratio = ratio
        endpoint.load.waiting = 0
        without = cost(endpoint, pool)
        endpoint.load.waiting = 5
        assert cost(endpoint, pool) == pytest.approx(without + waits)
        endpoint.estimate.awaited_tokens = 1_000_000  # 10 s: who waits for prompts waits meanwhile
        behind = cost(endpoint, pool)
        endpoint.load.waiting = 0
        assert cost(endpoint, pool) == pytest.approx(behind)


def test_who_is_only_taken_to_wait_is_not_waited_for() -> None:
    pool = replace(POOL, residence_seconds=4.0)
    endpoint = an_endpoint(running=8)
    endpoint.load.waiting = 5  # sent since the last reading, to an engine that did not queue then
    assert cost(endpoint, pool) == pytest.approx(WORK + DECODE)


def of_prompts(tokens: int, uncached: float) -> PoolEstimate:
    prompts = RecentPrompts()
    for _ in range(8):
        prompts.add(tokens)
    return replace(POOL, prompts=prompts.sample, uncached_tokens=uncached)


@pytest.mark.parametrize(
    ("uncached", "worth"), [(1000.0, 0.0), (200.0, 0.64), (100.0, 3.24), (10.0, 10.0)]
)
def test_what_is_hit_again_and_again_is_dear_to_drive_out(uncached: float, worth: float) -> None:
    pool = of_prompts(1000, uncached)
    used = {"kv_cache_usage": 0.58, "num_blocks": 1000, "block_size_tokens": 60}
    full, idle = an_endpoint(**used, requests=3), an_endpoint(requests=3)
    needed = 1000 + 200
    scarce = ((0.58 * 60_000 + needed / 2) / 60_000 - 0.4) / 0.6
    driven_out = worth * needed * scarce**2
    assert cost(full, pool) - cost(idle, pool) == pytest.approx(driven_out * 1e-5 * 4)


def test_a_cache_with_much_to_spare_drives_nobody_out() -> None:
    pool = of_prompts(1000, 10.0)
    used = {"kv_cache_usage": 0.3, "num_blocks": 1000, "block_size_tokens": 60}
    assert cost(an_endpoint(**used), pool) == pytest.approx(cost(an_endpoint(), pool))


def test_where_memory_is_dear_a_cached_prompt_is_worth_more_than_an_idler_server() -> None:
    used = {"kv_cache_usage": 0.7, "num_blocks": 1000, "block_size_tokens": 60}
    warm, cold = an_endpoint(**used, requests=8), an_endpoint(**used, requests=7)

    def costs(pool: PoolEstimate) -> list[float]:
        facts = {"prompt_tokens": 1000, "attempted_at": NOW, "estimate": pool}
        return marginal_costs(a_request(**facts, cached_tokens={warm: 960}), [warm, cold])

    often, never = costs(of_prompts(1000, 10.0)), costs(of_prompts(1000, 1000.0))
    assert never[0] > never[1]
    assert often[0] < often[1]


def test_a_server_that_does_not_tell_its_memory_has_enough() -> None:
    assert cost(an_endpoint(kv_cache_usage=1.0)) == pytest.approx(WORK + DECODE)


def test_an_adapter_to_be_loaded_holds_up_all_in_flight() -> None:
    endpoint = an_endpoint(requests=2)
    without = cost(endpoint)
    facts = {"adapter": "a", "adapter_loads": {endpoint: 0.5}, "adapter_waits": {endpoint: 0.25}}
    assert cost(endpoint, **facts) == pytest.approx(without + 3 * 0.5 + 0.25)
    assert cost(endpoint, adapter="a") == pytest.approx(without)


FINITE = st.floats(0.0, 1e9)


@given(
    *(st.integers(0, 1000), st.floats(0.0, 1000.0), st.integers(0, 10**7), FINITE),
    st.integers(0, 1000),
    *(st.floats(1 / 16, 16.0), st.floats(0.0, 1.0), st.integers(0, 10**6)),
)
def test_a_cost_is_always_a_number(
    requests: int,
    foreign: float,
    tokens: int,
    clear_at: float,
    waiting: int,
    ratio: float,
    kept: float,
    kv: int,
) -> None:
    endpoint = an_endpoint(
        requests=requests,
        foreign=foreign,
        waiting=waiting,
        num_blocks=kv,
        block_size_tokens=16,
    )
    estimate = endpoint.estimate
    estimate.prefill_ratio = estimate.decode_ratio = ratio
    estimate.clear_at, estimate.kept_share = clear_at, kept
    estimate.awaited_tokens = estimate.tokens_since_reading = tokens
    prompts = RecentPrompts()
    prompts.add(tokens)
    pool = replace(POOL, arrival_rate=5.0, prompts=prompts.sample)
    found = cost(endpoint, pool, cached_tokens={endpoint: tokens})
    assert math.isfinite(found)
    assert found > 0.0
