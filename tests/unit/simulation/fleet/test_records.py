from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.simulation.fleet.records import LOWEST_GAP_SECONDS, GapHistogram, Record


@given(st.lists(st.floats(LOWEST_GAP_SECONDS, 100.0), min_size=1), st.floats(0.01, 1.0))
def test_a_quantile_of_gaps_is_within_five_percent(gaps: list[float], share: float) -> None:
    histogram = GapHistogram()
    for gap in gaps:
        histogram.add(gap)
    exact = sorted(gaps)[max(0, math.ceil(share * len(gaps)) - 1)]
    assert histogram.quantile(share) == pytest.approx(exact, rel=0.05)


def test_gaps_of_many_requests_count_as_many() -> None:
    histogram = GapHistogram()
    histogram.add(0.01, 99)
    histogram.add(1.0, 1)
    histogram.add(9.0, 0)
    assert histogram.count == 100
    assert histogram.quantile(0.99) == pytest.approx(0.01, rel=0.05)
    assert histogram.quantile(1.0) == pytest.approx(1.0, rel=0.05)


def test_without_gaps_there_is_no_quantile() -> None:
    assert math.isnan(GapHistogram().quantile(0.5))


def test_times_of_a_record_are_those_of_its_client() -> None:
    record = Record(10.0, 100, 11, first_token_at=10.5, ended_at=12.5)
    assert (record.ttft_seconds, record.seconds, record.tpot_seconds) == (0.5, 2.5, 0.2)
    assert record.served


def test_an_answer_of_one_token_has_no_time_per_token_after_it() -> None:
    assert Record(10.0, 100, 1, first_token_at=10.5, ended_at=10.5).tpot_seconds == 0.0


def test_neither_an_open_nor_a_lost_request_is_served() -> None:
    assert not Record(10.0, 100, 11).served
    assert not Record(10.0, 100, 11, first_token_at=11.0, ended_at=12.0, lost=True).served
