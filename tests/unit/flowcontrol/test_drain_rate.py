from __future__ import annotations

import pytest

from epp.flowcontrol.drain_rate import OLDEST_SECONDS, SAMPLES, DrainRate


def a_spell(rate: DrainRate, begins: float, *, seconds: float, placed: int) -> None:
    """The last is placed so long after the first."""
    rate.begin()
    for n in range(placed):
        rate.placed(begins + seconds * n / max(1, placed - 1))


def test_one_placement_is_too_little_to_know_and_so_are_those_of_one_moment() -> None:
    rate = DrainRate()
    assert rate.per_second(0.0) == 0.0
    a_spell(rate, 0.0, seconds=1.0, placed=1)
    assert rate.per_second(1.0) == 0.0
    other = DrainRate()
    a_spell(other, 5.0, seconds=0.0, placed=9)
    assert other.per_second(5.0) == 0.0


def test_time_in_which_nobody_waits_does_not_count() -> None:
    rate = DrainRate()
    for begins in (0.0, 20.0, 40.0):
        a_spell(rate, begins, seconds=0.5, placed=5)
    assert rate.per_second(41.0) == pytest.approx(8.0)


def test_what_was_placed_long_ago_is_forgotten() -> None:
    rate = DrainRate()
    a_spell(rate, 0.0, seconds=1.0, placed=60)
    a_spell(rate, OLDEST_SECONDS, seconds=1.0, placed=3)
    assert rate.per_second(OLDEST_SECONDS + 1.5) == pytest.approx(2.0)
    assert rate.per_second(2 * OLDEST_SECONDS + 2.0) == 0.0


def test_the_latest_placements_count() -> None:
    rate = DrainRate()
    a_spell(rate, 0.0, seconds=10.0, placed=10)
    a_spell(rate, 10.0, seconds=10.0, placed=SAMPLES + 1)
    assert rate.per_second(20.0) == pytest.approx(SAMPLES / 10.0)
