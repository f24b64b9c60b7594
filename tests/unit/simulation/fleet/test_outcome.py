from __future__ import annotations

import math
from typing import Any

import pytest

from epp.simulation.fleet.outcome import Objectives, Outcome, outcome_of, quantile
from epp.simulation.fleet.records import Record, RunRecords, ServerUse

OBJECTIVES = Objectives(ttft_seconds=1.0, tpot_seconds=0.05)


def served(ttft: float = 0.5, tpot: float = 0.02, **more: Any) -> Record:
    """Asked at 10, eleven tokens."""
    first = 10.0 + ttft
    more = {"server": 0, "ended_at": first + 10 * tpot} | more
    return Record(10.0, 100, 11, first_token_at=first, **more)


def refused(**more: Any) -> Record:
    return Record(10.0, 100, 11, refusal="saturated", **more)


def outcome(*requests: Record) -> Outcome:
    records = RunRecords((10.0, 20.0), list(requests), ended_at=30.0)
    records.servers = [ServerUse(), ServerUse()]
    return outcome_of(records, OBJECTIVES, 2)


def test_an_answer_is_good_that_meets_both_objectives() -> None:
    found = outcome(served(), served(ttft=1.5), served(tpot=0.06), served(lost=True))
    assert (found.requests, found.good_share, found.goodput) == (4, 0.25, 0.1)
    assert found.served_share == 0.75


def test_who_is_refused_is_neither_served_nor_in_the_quantiles() -> None:
    found = outcome(served(), refused(), refused(), refused())
    assert (found.refused_share, found.served_share, found.good_share) == (0.75, 0.25, 0.25)
    assert found.ttft_p99 == 0.5


def test_who_waits_to_the_end_counts_with_the_time_that_it_waited() -> None:
    assert outcome(served(), Record(10.0, 100, 11, server=1)).ttft_p99 == 20.0


def test_hits_and_balance() -> None:
    found = outcome(
        served(cached_tokens=50), served(cached_tokens=100), served(server=1), served(server=0)
    )
    assert found.hit_rate == 150 / 400
    assert found.imbalance == 3 / 2


def test_who_only_computes_prompts_does_not_count_in_the_balance() -> None:
    records = RunRecords((10.0, 20.0), [served(server=1)] * 3 + [served(server=2)], ended_at=30.0)
    records.servers = [ServerUse("prefill"), ServerUse("decode"), ServerUse("decode")]
    assert outcome_of(records, OBJECTIVES, 3).imbalance == 3 / 2


def test_fairness_is_of_the_good_share_of_flows() -> None:
    equal = outcome(served(flow="a"), served(flow="b"), served(flow="b"))
    starved = outcome(served(flow="a"), refused(flow="b"), refused(flow="b"))
    assert equal.fairness == pytest.approx(1.0)
    assert starved.fairness == pytest.approx(0.5)


def test_use_is_of_the_role_where_it_is_the_most() -> None:
    records = RunRecords((10.0, 20.0), [served()], ended_at=30.0)
    records.servers = [
        ServerUse("prefill", busy=9.0, prefilling=9.0, held_up={"prefill": 8.0}),
        ServerUse("encode", busy=6.0, encoding=6.0),
        ServerUse("decode", busy=8.0, prefilling=1.0, kv_cache=4.0),
        ServerUse("decode", busy=4.0),
    ]
    found = outcome_of(records, OBJECTIVES, 4)
    assert (found.prefill_share, found.encoding_share, found.decode_share) == (0.9, 0.6, 0.55)
    assert (found.held_up_by_prefill, found.kv_cache_usage) == (0.8, 0.2)


def test_use_is_of_the_time_of_all_servers() -> None:
    first = ServerUse(busy=10.0, prefilling=4.0, loading=1.0, kv_cache=5.0)
    first.held_up = {"memory": 2.0}
    records = RunRecords((10.0, 20.0), [served()], ended_at=30.0)
    records.servers = [first, ServerUse()]
    found = outcome_of(records, OBJECTIVES, 2)
    assert (found.prefill_share, found.decode_share, found.loading_share) == (0.2, 0.25, 0.05)
    assert found.kv_cache_usage == 0.25
    assert (found.held_up_by_memory, found.held_up_by_places) == (0.1, 0.0)


def test_of_nothing_there_are_no_figures() -> None:
    found = outcome()
    assert found.requests == 0
    assert found.goodput == 0.0
    assert all(math.isnan(value) for value in (found.good_share, found.ttft_p50, found.hit_rate))


def test_a_quantile_is_one_of_the_values() -> None:
    assert [quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.01, 0.25, 0.5, 0.99)] == [
        *(1.0, 1.0, 2.0, 4.0)
    ]
    assert math.isnan(quantile([], 0.5))
