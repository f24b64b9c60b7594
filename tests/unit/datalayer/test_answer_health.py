from __future__ import annotations

import pytest

from epp.core.endpoint import Endpoint
from epp.datalayer.answer_health import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    STREAK,
    AnswerHealth,
)
from epp.datalayer.store import EndpointSpec, EndpointStore


class Pool:
    """Some endpoints, what they answer, and what was told of it."""

    def __init__(self, count: int) -> None:
        self.store = EndpointStore()
        self.store.apply([EndpointSpec(f"e{n}", f"10.0.0.{n + 1}", 80) for n in range(count)])
        self.told: list[tuple[str, float]] = []
        self.health = AnswerHealth(
            self.store, lambda e, seconds: self.told.append((e.name, seconds))
        )

    def answers(self, number: int, status: int, now: float, times: int = 1) -> None:
        for _ in range(times):
            self.health.answered(self.endpoint(number), status, now)

    def endpoint(self, number: int) -> Endpoint:
        return next(e for e in self.store.endpoints if e.name == f"e{number}")

    @property
    def candidates(self) -> list[str]:
        return [endpoint.name for endpoint in self.store.candidates]


def test_who_answers_nothing_but_errors_is_left_out_and_tried_again() -> None:
    pool = Pool(3)
    pool.answers(0, 500, 0.0, STREAK - 1)
    pool.answers(1, 200, 0.5)
    assert pool.candidates == ["e0", "e1", "e2"]
    pool.answers(0, 503, 1.0)
    assert pool.candidates == ["e1", "e2"]
    pool.health.end_pauses(1.0 + FIRST_PAUSE_SECONDS - 0.01)
    assert pool.candidates == ["e1", "e2"]
    pool.health.end_pauses(1.0 + FIRST_PAUSE_SECONDS)
    assert pool.candidates == ["e0", "e1", "e2"]
    pool.answers(0, 500, 3.0)  # one is enough now, and the pause is twice as long
    assert pool.candidates == ["e1", "e2"]
    pool.health.end_pauses(3.0 + 2 * FIRST_PAUSE_SECONDS)
    pool.answers(0, 200, 6.0)
    assert pool.candidates == ["e0", "e1", "e2"]
    assert pool.told == [("e0", 1.0), ("e0", 2.0), ("e0", 0.0)]
    pool.answers(0, 500, 7.0, STREAK - 1)  # all over again
    assert pool.candidates == ["e0", "e1", "e2"]


def test_pauses_have_a_longest() -> None:
    pool, now = Pool(2), 0.0
    pool.answers(0, 500, now, STREAK)
    for _ in range(10):
        now += 100.0
        pool.answers(1, 200, now)
        pool.health.end_pauses(now)
        pool.answers(0, 500, now)
    assert pool.told[-1] == ("e0", LONGEST_PAUSE_SECONDS)


def test_an_answer_that_comes_during_the_pause_ends_it() -> None:
    pool = Pool(2)
    pool.answers(0, 500, 0.0)
    pool.answers(1, 200, 0.5)
    pool.answers(0, 500, 1.0, STREAK)
    assert pool.candidates == ["e1"]
    pool.answers(0, 200, 1.2)
    assert pool.candidates == ["e0", "e1"]
    pool.health.end_pauses(100.0)
    assert pool.candidates == ["e0", "e1"]


def test_who_is_too_busy_for_all_is_left_out_for_a_short_time_each() -> None:
    pool = Pool(2)
    pool.answers(0, 429, 0.0)
    pool.answers(1, 200, 0.5)
    pool.answers(0, 429, 1.0, STREAK)
    for now in (2.0, 4.0, 6.0):
        assert pool.candidates == ["e1"]
        pool.health.end_pauses(now)
        assert pool.candidates == ["e0", "e1"]
        pool.answers(0, 429, now + 0.5)
    assert pool.told == [("e0", FIRST_PAUSE_SECONDS)] * 4
    pool.answers(0, 200, 6.6)
    assert pool.candidates == ["e0", "e1"]


def test_who_is_too_busy_for_some_stays() -> None:
    pool = Pool(2)
    for now in range(20):
        pool.answers(0, 429, float(now), STREAK - 1)
        pool.answers(0, 200, float(now))
        pool.answers(1, 200, float(now))
    assert pool.told == []


@pytest.mark.parametrize("status", [0, 200, 400, 401, 404, 501])
def test_what_tells_of_the_request_or_of_nothing_is_no_error(status: int) -> None:
    pool = Pool(2)
    pool.answers(0, 500, 0.0)
    pool.answers(1, 200, 0.5)
    pool.answers(0, status, 1.0, 10 * STREAK)
    assert pool.candidates == ["e0", "e1"]
    assert pool.told == []


def test_where_nobody_answers_nobody_is_left_out() -> None:
    pool = Pool(3)
    for now in range(20):
        for number in range(3):
            pool.answers(number, 500, float(now))
    assert pool.candidates == ["e0", "e1", "e2"]


def test_at_most_half_are_left_out() -> None:
    pool = Pool(5)
    for number in range(4):
        pool.answers(number, 500, 0.0)
    pool.answers(4, 200, 0.5)
    for number in range(4):
        pool.answers(number, 500, 1.0, STREAK)
    assert pool.candidates == ["e2", "e3", "e4"]
    alone = Pool(1)
    alone.answers(0, 500, 0.0, 10 * STREAK)
    assert alone.candidates == ["e0"]


def test_where_only_paused_ones_can_be_reached_they_are_taken() -> None:
    pool = Pool(2)
    pool.answers(0, 500, 0.0)
    pool.answers(1, 200, 0.5)
    pool.answers(0, 500, 1.0, STREAK)
    pool.store.set_reachable(pool.endpoint(1), False)
    assert pool.candidates == ["e0"]


def test_who_left_the_pool_is_forgotten_for_good() -> None:
    pool = Pool(3)
    gone = pool.endpoint(0)
    pool.answers(0, 500, 0.0)
    pool.answers(1, 200, 0.5)
    pool.answers(0, 500, 1.0, STREAK)
    pool.store.apply([EndpointSpec(f"e{n}", f"10.0.0.{n + 1}", 80) for n in (1, 2)])
    pool.health.forget(gone)
    for _ in range(10 * STREAK):
        pool.health.answered(gone, 500, 2.0)
    pool.health.end_pauses(100.0)
    assert pool.candidates == ["e1", "e2"]
    assert len(pool.told) == 1
