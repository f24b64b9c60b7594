from __future__ import annotations

from itertools import count

from epp.core.stopwatch import FILTER, Lap, Part, Stopwatch

PART = Part(FILTER, "label-selector-filter", "tier-a", "default")


def test_a_run_is_told_to_the_observer_of_its_part() -> None:
    seconds: dict[Part, list[float]] = {}
    stopwatch = Stopwatch(iter([3.5]).__next__, lambda part: seconds.setdefault(part, []).append)
    stopwatch.timer(PART).ran_since(1.0)
    assert seconds == {PART: [2.5]}


def test_laps_are_kept_only_while_somebody_gives_a_list() -> None:
    ticks = count(10)
    stopwatch = Stopwatch(lambda: float(next(ticks)), lambda _part: lambda _seconds: None)
    timer = stopwatch.timer(PART)
    timer.ran_since(9.0)
    laps = stopwatch.laps = []
    timer.ran_since(9.5, 4, 3)
    stopwatch.laps = None
    timer.ran_since(9.0)
    assert laps == [Lap(PART, 9.5, 11.0, 4, 3)]
