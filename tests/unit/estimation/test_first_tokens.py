from __future__ import annotations

import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from epp.core.endpoint import EndpointMetrics
from epp.estimation.first_tokens import LONGEST_LINE, Counted, FirstTokenCounter
from epp.estimation.stay import Stay
from tests.helpers.build import an_endpoint
from tests.unit.estimation.test_prefills import a_stay

ENDPOINT = an_endpoint()


def reading(count: int, at: float) -> EndpointMetrics:
    return EndpointMetrics(first_tokens=float(count), first_tokens_read_at=at)


def counter(count: int = 100, at: float = 10.0) -> FirstTokenCounter:
    """Read once."""
    made = FirstTokenCounter()
    assert made.read(reading(count, at), 0.0) is None
    return made


def placed(made: FirstTokenCounter, count: int) -> list[Stay]:
    stays = [a_stay(ENDPOINT, order, 1.0) for order in range(count)]
    for stay in stays:
        made.placed(stay)
    return stays


def counted(found: Counted | None) -> Sequence[Stay]:
    assert found is not None
    return list(found.stays)


def test_each_count_is_of_the_oldest() -> None:
    made = counter()
    stays = placed(made, 4)
    assert counted(made.read(reading(101, 10.1), 0.0)) == stays[:1]
    assert counted(made.read(reading(101, 10.2), 0.0)) == []
    assert counted(made.read(reading(103, 10.3), 0.0)) == stays[1:3]
    assert made.gap_seconds == 10.3 - 10.2


def test_what_is_known_otherwise_is_still_in_line() -> None:
    """Its first token is one that the server counts, too."""
    made = counter()
    stays = placed(made, 2)
    stays[0].prefilling, stays[0].ended_at = False, 10.05
    assert counted(made.read(reading(101, 10.1), 0.0)) == stays[:1]
    assert counted(made.read(reading(102, 10.2), 0.0)) == stays[1:]


def test_who_never_had_one_is_not_in_line() -> None:
    made = counter()
    stays = placed(made, 3)
    made.left(stays[0])
    made.left(a_stay(ENDPOINT, 9, 1.0))  # never in line
    assert counted(made.read(reading(101, 10.1), 0.0)) == [stays[1]]


def test_counts_beyond_the_line_are_of_nobody() -> None:
    made = counter()
    [stay] = placed(made, 1)
    assert counted(made.read(reading(107, 10.1), 0.0)) == [stay]
    [other] = placed(made, 1)
    assert counted(made.read(reading(107, 10.2), 0.0)) == []
    assert counted(made.read(reading(108, 10.3), 0.0)) == [other]


def test_requests_with_several_first_tokens_make_the_counter_useless() -> None:
    made, count = counter(0), 0
    for n in range(20):
        stays = placed(made, 1)
        count += 4
        found = made.read(reading(count, 11.0 + n), 0.0)
        assert found is None or list(found.stays) == stays
    assert made.read(reading(count, 40.0), 0.0) is None
    assert made.gap_seconds == math.inf
    # And useful again, when there are none for a while.
    for n in range(200):
        stays = placed(made, 1)
        count += 1
        found = made.read(reading(count, 50.0 + n), 0.0)
    assert counted(found) == stays


def test_an_answer_that_has_ended_was_counted_by_the_next_reading() -> None:
    made = counter()
    stays = placed(made, 2)
    stays[0].ended_at = 10.05
    assert counted(made.read(reading(100, 10.1), 0.0)) == []  # its page may be older than the end
    assert counted(made.read(reading(100, 10.2), 0.0)) == stays[:1]


def test_strangers_a_restart_and_an_old_reading_say_nothing() -> None:
    made = counter()
    stays = placed(made, 2)
    stays[0].prefilling = False
    assert made.read(reading(105, 10.1), 1.0) is None
    assert made.gap_seconds == math.inf
    # Afterwards it goes on with those whose prefill is not over as far as anybody knows.
    assert counted(made.read(reading(106, 10.2), 0.0)) == stays[1:]
    placed(made, 1)
    assert made.read(reading(3, 10.3), 0.0) is None
    assert made.read(reading(9, 10.3), 0.0) is None
    assert made.read(EndpointMetrics(), 0.0) is None


def test_after_a_pause_it_counts_but_does_not_say_when() -> None:
    made = counter()
    stays = placed(made, 2)
    assert counted(made.read(reading(101, 30.0), 0.0)) == stays[:1]
    assert made.gap_seconds == math.inf


def test_without_a_counter_nobody_is_kept_and_with_one_nobody_for_ever() -> None:
    made = FirstTokenCounter()
    placed(made, 5)
    assert made.read(reading(0, 1.0), 0.0) is None
    assert counted(made.read(reading(1, 1.1), 0.0)) == []
    many = placed(made, LONGEST_LINE + 3)
    found = counted(made.read(reading(1 + len(many), 1.2), 0.0))
    assert found == many[3:]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40))
def test_in_the_order_of_placement_and_each_once(steps: list[tuple[int, int]]) -> None:
    made, everybody, seen = counter(0, 0.0), list[Stay](), list[Stay]()
    count, at = 0, 0.0
    for new, more in steps:
        everybody += placed(made, new)
        count, at = count + more, at + 0.1
        found = made.read(reading(count, at), 0.0)
        if found is None:
            return  # it counts too many
        seen += found.stays
    assert seen == everybody[: len(seen)]
    assert len(seen) <= count
