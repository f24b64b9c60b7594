from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count

from hypothesis import given, settings

from epp.core.decision import Placed
from epp.core.stopwatch import TIMED_EVERY, Part, Stopwatch
from epp.explain.snapshot import memories_of
from epp.scheduling.plugins.probabilistic_admitter import ProbabilisticAdmitter
from epp.scheduling.timed import TimedAdmitter
from tests.helpers.build import a_request, an_endpoint
from tests.helpers.worlds import World, worlds


def a_stopwatch(told: list[Part]) -> Stopwatch:
    ticks = count()

    def observer_of(part: Part) -> Callable[[float], None]:
        return lambda _seconds: told.append(part)

    return Stopwatch(lambda: float(next(ticks)), observer_of)


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_what_is_timed_decides_and_remembers_the_same(world: World) -> None:
    told: list[Part] = []
    plain, timed = world.picker(), world.picker(stopwatch=a_stopwatch(told))
    turns = timed.configured.attempt.timed
    assert turns is not None
    turns.left = 1
    told.clear()
    one = world.arrive(plain, world.prompt, world.now)
    other = world.arrive(timed, world.prompt, world.now)
    assert repr(other.outcome) == repr(one.outcome)
    assert states(timed.configured.scheduler) == states(plain.configured.scheduler)
    draws = [picker.configured.attempt.around.rng.getstate() for picker in (plain, timed)]
    assert draws[0] == draws[1]
    if isinstance(other.outcome, Placed):
        expected = {("Picker", other.outcome.record.profile)}
        expected |= {("Scorer", name) for name in other.outcome.record.scores}
        found = {(p.point, p.profile if p.point == "Picker" else p.plugin_name) for p in told}
        assert expected <= found


def states(scheduler: object) -> str:
    return repr([memory.snapshot() for memory in memories_of(scheduler).values()])


def test_an_admitter_is_timed_now_and_then_and_says_the_same() -> None:
    told: list[Part] = []
    plain = ProbabilisticAdmitter(k=1.0, power=1.0)
    timed = TimedAdmitter("shed", plain, a_stopwatch(told))
    full, sheddable = [an_endpoint(waiting=3)], a_request(priority=-1)
    for seed in range(TIMED_EVERY + 1):
        said = [
            admitter.refusal(sheddable, full, random.Random(seed)) for admitter in (plain, timed)
        ]
        assert said[0] == said[1]
    assert told == [Part("Admission", "probabilistic-admitter", "shed")] * 2
