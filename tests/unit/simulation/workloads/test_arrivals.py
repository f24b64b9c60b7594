from __future__ import annotations

from itertools import islice, pairwise
from random import Random
from statistics import fmean, stdev

import pytest

from epp.simulation.workloads.arrivals import ClosedLoop, OpenLoop


def gaps(load: OpenLoop, count: int = 20_000) -> list[float]:
    return [b - a for a, b in pairwise(islice(load.starts(Random(3)), count))]


@pytest.mark.parametrize("variation", [0.5, 1.0, 4.0])
def test_gaps_have_the_rate_and_the_variation(variation: float) -> None:
    found = gaps(OpenLoop(rate=8.0, variation=variation), 60_000)
    assert fmean(found) == pytest.approx(1 / 8, rel=0.06)
    assert stdev(found) / fmean(found) == pytest.approx(variation, rel=0.06)


def test_it_begins_gently_and_goes_on_at_the_full_rate() -> None:
    load = OpenLoop(rate=50.0, gentle_seconds=100.0, gentle_share=0.4)
    starts = list(islice(load.starts(Random(3)), 8000))
    assert sum(at < 100.0 for at in starts) == pytest.approx(0.4 * 50 * 100, rel=0.06)
    assert sum(100.0 <= at < 200.0 for at in starts) == pytest.approx(50 * 100, rel=0.06)


def test_starts_ascend() -> None:
    assert all(gap >= 0 for gap in gaps(OpenLoop(5.0, 4.0, 30.0)))


@pytest.mark.parametrize(
    "wrong", [{"rate": 0.0}, {"rate": 1.0, "variation": 0.0}, {"rate": 1.0, "gentle_share": 0.0}]
)
def test_a_load_that_never_comes_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        OpenLoop(**wrong)


def test_a_closed_loop_has_clients() -> None:
    with pytest.raises(ValueError, match="at least one client, not 0"):
        ClosedLoop(0)
