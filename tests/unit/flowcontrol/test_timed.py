from __future__ import annotations

import pytest

from epp.core.decision import Placed
from epp.core.refusal import Reason, Refused
from epp.core.request import RequestFacts
from epp.core.stopwatch import FILTER, Part, Stopwatch
from epp.flowcontrol.timed import TimedTurns
from tests.helpers.build import a_request

EVERY = 4
STOPWATCH = Stopwatch(lambda: 1.0, lambda _part: lambda _seconds: None)
TIMER = STOPWATCH.timer(Part(FILTER, "f", "f"))


def attempt(facts: RequestFacts, now: float) -> Placed | None:
    TIMER.ran_since(now)
    if facts.only_if_cached:
        raise Refused(Reason.NOT_CACHED, "no")
    return None


def turns() -> TimedTurns:
    return TimedTurns(attempt, STOPWATCH, EVERY)


def test_a_turn_is_every_so_many_attempts() -> None:
    made = turns()
    timed = []
    for n in range(2 * EVERY + 1):
        made.left -= 1
        if made.left <= 0:
            timed.append(n)
            made(a_request(), 0.0)
    assert timed == [0, EVERY, 2 * EVERY]


def test_one_that_is_asked_for_takes_no_turn_away() -> None:
    made = turns()
    made.left = 3
    made(a_request(laps=[]), 0.0)
    assert made.left == 3


def test_of_several_attempts_the_laps_of_the_last_remain() -> None:
    facts = a_request(laps=[])
    made = turns()
    for now in (0.25, 0.5):
        made(facts, now)
    assert facts.laps is not None
    assert [lap.began for lap in facts.laps] == [0.5]


@pytest.mark.parametrize("refused", [False, True])
def test_laps_go_to_nobody_else(refused: bool) -> None:
    facts = a_request(laps=[], only_if_cached=refused)
    try:
        turns()(facts, 0.0)
    except Refused:
        assert refused
    assert STOPWATCH.laps is None
    assert facts.laps is not None
    assert len(facts.laps) == 1
