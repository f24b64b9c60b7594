from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from epp.core.request import RequestFacts
from epp.flowcontrol.waiting_room import WaitingRoom


def a_request(priority: int = 0, size_bytes: int = 10) -> RequestFacts:
    return RequestFacts("r", priority=priority, size_bytes=size_bytes)


def drain(room: WaitingRoom) -> list[RequestFacts]:
    order = []
    while (head := room.next_head(())) is not None:
        room.leave(head.facts)
        order.append(head.facts)
    return order


def test_highest_priority_first_then_first_come_across_classes() -> None:
    room = WaitingRoom()
    low, first, second, high = a_request(-1), a_request(), a_request(), a_request(5)
    for facts, fit_class in ((low, "a"), (first, "b"), (second, "a"), (high, "c")):
        room.enter(facts, fit_class, deadline=9.0)
    assert drain(room) == [high, first, second, low]


def test_a_stuck_class_is_skipped_at_every_priority() -> None:
    room = WaitingRoom()
    stuck_high, stuck_low, other = a_request(3), a_request(0), a_request(0)
    room.enter(stuck_high, "stuck", 9.0)
    room.enter(stuck_low, "stuck", 9.0)
    room.enter(other, "free", 9.0)
    head = room.next_head({"stuck"})
    assert head is not None
    assert head.facts is other


def test_leaving_is_idempotent_and_counts_to_zero() -> None:
    room = WaitingRoom()
    facts = a_request(2, size_bytes=100)
    room.enter(facts, None, 9.0)
    assert room.band_size(2) == (1, 100)
    assert room.leave(facts) is not None
    assert room.leave(facts) is None
    assert (len(room), room.bytes, room.band_size(2)) == (0, 0, (0, 0))


def test_only_the_same_class_at_the_same_or_higher_priority_is_ahead() -> None:
    room = WaitingRoom()
    room.enter(a_request(1), "a", 9.0)
    assert room.is_ahead_of(a_request(1), "a")
    assert room.is_ahead_of(a_request(0), "a")
    assert not room.is_ahead_of(a_request(2), "a")
    assert not room.is_ahead_of(a_request(1), "b")


def test_expiry_is_in_order_of_deadlines_and_skips_who_left() -> None:
    room = WaitingRoom()
    late, gone, soon = a_request(), a_request(), a_request()
    room.enter(late, None, 3.0)
    room.enter(gone, None, 1.0)
    room.enter(soon, None, 2.0)
    room.leave(gone)
    assert room.next_deadline() == 2.0
    assert room.expired(now=2.5) == [soon]
    assert room.next_deadline() == 3.0


def test_a_changed_budget_moves_every_deadline() -> None:
    room = WaitingRoom()
    facts = a_request()
    room.enter(facts, None, 1.0)
    room.reset_deadlines(lambda _: 7.0)
    assert room.expired(now=6.9) == []
    assert room.expired(now=7.0) == [facts]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(-1, 2)), max_size=200))
def test_nobody_is_lost_or_doubled_and_memory_follows_the_queue(
    steps: list[tuple[bool, int, int]],
) -> None:
    room = WaitingRoom()
    inside: list[RequestFacts] = []
    for enters, number, priority in steps:
        if enters or not inside:
            facts = a_request(priority, number)
            room.enter(facts, number % 3, deadline=float(number))
            inside.append(facts)
        else:
            room.leave(inside.pop(number % len(inside)))
        assert len(room) == len(inside)
        assert room.bytes == sum(facts.size_bytes for facts in inside)
        assert len(room._deadlines) <= 2 * len(room) + 66
    order = drain(room)
    assert sorted(map(id, order)) == sorted(map(id, inside))
    assert [facts.priority for facts in order] == sorted(
        (facts.priority for facts in inside), reverse=True
    )
