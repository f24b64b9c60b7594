from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.flowcontrol.fit_classes import LOOK, FitClasses, Search
from epp.flowcontrol.waiting_line import Ticket, Turn
from tests.helpers.build import an_endpoint

A, B = an_endpoint("a"), an_endpoint("b")
SERIALS = count()


def a_ticket(key: str, priority: int = 0) -> Ticket:
    facts = RequestFacts(key, priority=priority)
    return Ticket(facts, key, next(SERIALS), math.inf, Turn(""), 0.0)


def classes_of(*waiting: tuple[str, Sequence[Endpoint] | None]) -> FitClasses:
    classes = FitClasses()
    for key, full in waiting:
        classes.add(a_ticket(key), full)
    return classes


def found(classes: FitClasses, *roomy: Endpoint, anyway: int = 0, looks: int = 10**6) -> list[str]:
    """In order, each failing where it failed before."""
    classes.begin_search(anyway)
    return rest(classes, the_search(classes, *roomy, looks=looks))


def the_search(classes: FitClasses, *roomy: Endpoint, looks: int = 10**6) -> Search:
    return classes.search(looks, (A, B), lambda some: not set(roomy).isdisjoint(some))


def rest(classes: FitClasses, search: Search) -> list[str]:
    keys = []
    while (one := search.next()) is not None:
        keys.append(one.head().facts.request_id)
        classes.failed(one, {"a": [A], "b": [B]}.get(keys[-1][0], [A, B]))
    return keys


def test_only_who_fits_where_room_is_seen_comes_and_who_fails_does_not_come_again() -> None:
    classes = classes_of(("a1", [A]), ("b1", [B]), ("x1", [A, B]), ("a2", None))
    assert found(classes) == ["a2"]
    assert found(classes) == []
    assert found(classes, B) == ["b1", "x1"]
    assert found(classes, A) == ["a1", "x1"]


def test_classes_that_fit_the_same_cost_one_look_however_many_they_are() -> None:
    classes = classes_of(*[(f"a{n}", [A]) for n in range(500)], ("b", [B]))
    classes.begin_search(0)
    search = the_search(classes, looks=1000)
    assert rest(classes, search) == []
    assert search.looks == 1000 - 2 * (LOOK + 1)


def test_who_failed_the_longest_ago_is_tried_anyway() -> None:
    classes = classes_of(("a1", [A]), ("a2", [A]), ("b1", [B]))
    tried = [found(classes, anyway=2) for _ in range(3)]
    assert tried == [["a1", "a2"], ["a1", "b1"], ["a1", "a2"]]
    assert found(classes, anyway=99) == ["a1", "a2", "b1"]


def test_all_come_again_once_what_failed_is_forgotten() -> None:
    classes = classes_of(("b1", [B]), ("a1", [A]), ("a2", [A]))
    classes.forget_what_failed()
    assert found(classes) == ["b1", "a1", "a2"]
    assert found(classes) == []


def test_a_higher_priority_moves_its_class_ahead() -> None:
    classes = classes_of(("first", None), ("second", None))
    classes.add(a_ticket("second", priority=1), None)
    assert classes.highest_priority("second") == 1
    assert classes.highest_priority("third") is None
    assert found(classes) == ["second", "first"]


def test_a_search_without_looks_left_goes_on_where_it_stopped() -> None:
    classes = classes_of(*[(f"{n}", [an_endpoint()]) for n in range(10)], ("b", [B]))
    classes.begin_search(0)
    for _ in range(4):
        search = the_search(classes, B, looks=2 * (LOOK + 1))
        assert rest(classes, search) == []
        assert search
    assert rest(classes, the_search(classes, B)) == ["b"]


def test_of_many_groups_only_those_are_looked_at_where_an_endpoint_has_room() -> None:
    pool = [an_endpoint() for _ in range(30)]
    pairs = [(f"{n}", [pool[n], pool[n + 1]]) for n in range(29)]
    classes = classes_of(*pairs)
    classes.begin_search(0)
    asked: list[Sequence[Endpoint]] = []

    def has_room(some: Sequence[Endpoint]) -> bool:
        asked.append(some)
        return pool[9] in some

    search = classes.search(1000, pool, has_room)
    found = []
    while (one := search.next()) is not None:
        found.append(one.key)
        classes.failed(one, [])
    assert found == ["8", "9"]
    assert len(asked) == 30 + 2


@given(st.lists(st.tuples(st.sampled_from("+++-?!"), st.integers(0, 40)), max_size=300))
def test_nobody_is_lost_and_memory_follows_the_classes(steps: list[tuple[str, int]]) -> None:
    classes, inside = FitClasses(), list[Ticket]()
    places = [None, [A], [B], [A, B]]
    for kind, number in steps:
        if kind == "+":
            inside.append(a_ticket(f"{'abx'[number % 3]}{number % 7}", number % 2))
            classes.add(inside[-1], places[number % 4])
        elif kind == "-" and inside:
            classes.discard(inside.pop(number % len(inside)))
        elif kind == "!":
            classes.forget_what_failed()
        else:
            found(classes, *[A, B][: number % 3], anyway=number % 4)
        keys = {ticket.fit_key for ticket in inside}
        assert len(classes) == len(keys)
        groups = [classes._untried, *classes._groups.values()]
        assert sum(group.size for group in groups) == len(keys)
        assert all(group.size for group in groups[1:])
        assert len(classes._failed) == sum(group.size for group in groups[1:])
        assert all(len(group.heads) <= 2 * len(keys) + 66 for group in groups)
    classes.forget_what_failed()
    first_of = {ticket.fit_key: ticket for ticket in reversed(inside)}
    assert sorted(found(classes)) == sorted(map(str, first_of))
