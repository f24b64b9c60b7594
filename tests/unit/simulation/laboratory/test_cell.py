from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from epp.simulation.laboratory.cell import Cell, simulate
from epp.simulation.policies import policy
from epp.simulation.workloads.traces import TraceError, TraceFile

SHORT = Cell("zipf", "2x8b-h100", 5.0, policy("random"), warm=False, seconds=10.0)


def test_equal_cells_have_equal_outcomes_and_other_seeds_others() -> None:
    assert simulate(SHORT) == simulate(SHORT)
    assert simulate(SHORT) != simulate(replace(SHORT, seed=2))


def test_policies_are_asked_the_same() -> None:
    other = simulate(replace(SHORT, policy=policy("round-robin")))
    assert other.requests == simulate(SHORT).requests


def test_the_rate_is_of_requests_also_where_sessions_have_many() -> None:
    """Of sessions it would be four times as much. Those that began gently are a little fewer."""
    cell = Cell(
        *("chat", "4x8b-h100", 6.0, policy("least-request")), seconds=200.0, scrape_seconds=1.0
    )
    counts = [simulate(replace(cell, seed=seed)).requests for seed in (1, 2)]
    assert 0.7 < sum(counts) / (2 * 200.0 * cell.rate) < 1.1


def test_seconds_are_those_that_are_measured() -> None:
    twice = simulate(replace(SHORT, seconds=40.0))
    assert twice.requests == pytest.approx(4 * simulate(SHORT).requests, rel=0.3)


def test_objectives_can_be_given() -> None:
    strict = simulate(replace(SHORT, ttft_seconds=0.0))
    easy = simulate(replace(SHORT, ttft_seconds=1e3, tpot_seconds=1e3))
    assert (strict.good_share, easy.good_share) == (0.0, 1.0)


def test_clients_ask_as_fast_as_they_are_answered() -> None:
    cell = replace(SHORT, rate=0.0, clients=4, seconds=30.0)
    few, many = simulate(cell), simulate(replace(cell, clients=16))
    assert few.goodput * few.seconds_mean == pytest.approx(4, rel=0.25)
    assert 2 * few.requests < many.requests < 4 * few.requests


def a_trace(folder: Path) -> TraceFile:
    file = folder / "trace.jsonl"
    requests = [
        {"timestamp": 100 * n, "input_length": 2048, "output_length": 20, "hash_ids": [0, 1, 2, n]}
        for n in range(50)
    ]
    file.write_text("".join(json.dumps(request) + "\n" for request in requests))
    return TraceFile(str(file))


def test_every_request_of_a_trace_is_asked_and_its_prefixes_are_found(tmp_path: Path) -> None:
    found = simulate(replace(SHORT, workload="", trace=a_trace(tmp_path)))
    assert (found.requests, found.served_share) == (50, 1.0)
    assert found.hit_rate == pytest.approx(0.75 * 48 / 50, abs=0.02)  # two servers begin without


def test_a_trace_that_is_not_there_is_named() -> None:
    with pytest.raises(TraceError, match=r"nowhere\.jsonl"):
        simulate(replace(SHORT, trace=TraceFile("nowhere.jsonl")))
