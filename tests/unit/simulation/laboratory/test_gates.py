"""The gates of the model. The whole staircase is left to `epp sim gates`; here its end is run."""

from __future__ import annotations

import math

import pytest

from epp.simulation.laboratory import gates
from epp.simulation.laboratory.gates import Reading, near
from epp.simulation.laboratory.staircase import STAGES, staircase
from epp.simulation.policies import policy


def assert_passed(readings: list[Reading]) -> None:
    assert readings
    assert [reading for reading in readings if not reading.passed] == []


def test_an_idle_server_is_as_fast_as_the_table_says() -> None:
    assert_passed(gates.unloaded())


def test_a_server_computes_prompts_as_fast_as_was_measured() -> None:
    assert_passed([gates.peak_prefill()])


def test_waiting_grows_as_in_a_queue_of_one_server() -> None:
    readings = gates.queueing()
    assert_passed(readings)
    measured = [reading.measured for reading in readings]
    assert measured == sorted(measured)
    assert measured[-1] - measured[1] > measured[1] - measured[0]  # ever faster


def test_blocks_are_never_lost() -> None:
    assert_passed(gates.accounting())


def test_one_server_finds_exactly_what_was_there() -> None:
    assert_passed(gates.hit_rate())


def test_affinity_matters_where_prefixes_are_shared() -> None:
    assert_passed(gates.ordering())


def test_the_seed_says_all() -> None:
    assert_passed(gates.determinism())


def test_at_the_top_of_the_staircase_affinity_gives_as_much_as_was_published() -> None:
    top = STAGES[-1:]
    [around], [sticky] = (staircase(policy(name), top) for name in ("round-robin", "sticky"))
    for name, found in (("round-robin", around), ("sticky", sticky)):
        published = gates.STAIRCASE[name][0]
        assert found.output_tokens_per_second == pytest.approx(published, rel=0.25)
    assert around.ttft_p50 > 50 * sticky.ttft_p50


def test_each_stage_has_its_figures() -> None:
    slow, fast = staircase(policy("sticky"), [(1.0, 10.0), (4.0, 10.0)])
    assert 0 < slow.output_tokens_per_second < fast.output_tokens_per_second < 4500
    assert slow.ntpot_p50 <= fast.ntpot_p50 < 0.05


def test_a_reading_is_within_its_ends_or_not() -> None:
    assert near("g", "w", 11.4, 10.0, 0.15, "s").passed
    assert not near("g", "w", 11.6, 10.0, 0.15, "s").passed
    assert not near("g", "w", math.nan, 10.0, 0.15, "s").passed
