from __future__ import annotations

import math
from collections.abc import Container, Hashable, Iterator

from hypothesis import given
from hypothesis import strategies as st

from epp.core.request import RequestFacts
from epp.flowcontrol.settings import BandSettings, Fairness, Ordering
from epp.flowcontrol.waiting_room import WaitingRoom


def a_request(priority: int = 0, size_bytes: int = 10) -> RequestFacts:
    return RequestFacts("r", priority=priority, size_bytes=size_bytes)


def served_in(room: WaitingRoom, stuck: Container[Hashable] = ()) -> Iterator[RequestFacts]:
    """All who can be, one after the other: those of a stuck class fit only where no room is."""
    room.begin_search(0)
    search = room.search(10**9, (), lambda _: False)
    while (found := search.next()) is not None:
        facts = found.head().facts
        if found.key in stuck:
            room.failed(found, ())
        else:
            room.take(facts)
            yield facts


def drain(room: WaitingRoom) -> list[RequestFacts]:
    return list(served_in(room))


def test_highest_priority_first_then_first_come_across_classes() -> None:
    room = WaitingRoom(lambda _: BandSettings())
    low, first, second, high = a_request(-1), a_request(), a_request(), a_request(5)
    for facts, fit_class in ((low, "a"), (first, "b"), (second, "a"), (high, "c")):
        room.enter(facts, fit_class, deadline=9.0)
    assert drain(room) == [high, first, second, low]


def test_a_stuck_class_is_skipped_at_every_priority() -> None:
    room = WaitingRoom(lambda _: BandSettings())
    stuck_high, stuck_low, other = a_request(3), a_request(0), a_request(0)
    room.enter(stuck_high, "stuck", 9.0)
    room.enter(stuck_low, "stuck", 9.0)
    room.enter(other, "free", 9.0)
    assert list(served_in(room, {"stuck"})) == [other]


def a_room_of(fairness: Fairness, ordering: Ordering = Ordering.FCFS) -> WaitingRoom:
    return WaitingRoom(lambda _: BandSettings(fairness=fairness, ordering=ordering))


def served(room: WaitingRoom, stuck: Container[Hashable] = ()) -> list[str]:
    return [facts.request_id for facts in served_in(room, stuck)]


def test_flows_have_turns_across_classes_and_each_priority_has_its_own() -> None:
    room = a_room_of(Fairness.ROUND_ROBIN)
    for name, flow, priority, fit_class in (
        ("a1", "a", 0, "x"),
        ("a2", "a", 0, "y"),
        ("a3", "a", 0, "x"),
        ("b1", "b", 0, "y"),
        ("c1", "c", 0, "x"),
        ("high", "a", 1, "x"),
    ):
        room.enter(RequestFacts(name, flow=flow, priority=priority), fit_class, 9.0)
    assert served(room) == ["high", "a1", "b1", "c1", "a2", "a3"]


def test_a_turn_is_taken_by_who_is_served_and_not_by_who_leaves() -> None:
    room = a_room_of(Fairness.ROUND_ROBIN)
    gone = RequestFacts("a0", flow="a")
    for facts in (gone, *(RequestFacts(name, flow=name[0]) for name in ("a1", "b1", "a2", "b2"))):
        room.enter(facts, "x", 9.0)
    room.leave(gone)
    assert served(room) == ["a1", "b1", "a2", "b2"]


def test_no_flow_is_kept_waiting_by_flows_that_come_later() -> None:
    room = a_room_of(Fairness.ROUND_ROBIN)
    room.enter(RequestFacts("alice", flow="alice"), None, 9.0)
    order = []
    for n in range(5):
        for name in (f"0{n}", f"1{n}"):  # before it in every order of names, and more than served
            room.enter(RequestFacts(name, flow=name), None, 9.0)
        order.append(next(served_in(room)).request_id)
    assert order == ["alice", "00", "10", "01", "11"]


def test_other_rules_keep_the_round() -> None:
    room = a_room_of(Fairness.ROUND_ROBIN)
    for name in ("b1", "a1", "b2"):
        room.enter(RequestFacts(name, flow=name[0]), "x", 9.0)
    assert next(served_in(room)).request_id == "b1"
    settings = BandSettings(fairness=Fairness.ROUND_ROBIN)
    room.rearrange(lambda _: settings, lambda facts: facts.request_id)
    assert served(room) == ["a1", "b2"]


def test_a_flow_that_is_stuck_lets_the_next_have_its_turn() -> None:
    room = a_room_of(Fairness.ROUND_ROBIN)
    for name, fit_class in (("a", "stuck"), ("b", "free"), ("c", "free")):
        room.enter(RequestFacts(name, flow=name), fit_class, 9.0)
    assert served(room, {"stuck"}) == ["b", "c"]
    room.forget_what_failed()
    assert served(room) == ["a"]


def test_without_turns_flows_do_not_matter() -> None:
    room = a_room_of(Fairness.GLOBAL_STRICT)
    for name in ("b1", "a1", "b2"):
        room.enter(RequestFacts(name, flow=name[0]), name, 9.0)
    assert served(room) == ["b1", "a1", "b2"]


def test_whose_first_token_is_due_first_is_first() -> None:
    room = a_room_of(Fairness.GLOBAL_STRICT, Ordering.SLO_DEADLINE)
    for name, received_at, slo_seconds in (
        ("never", 0.0, math.inf),
        ("late", 1.0, 9.0),
        ("soon", 5.0, 1.0),
        ("never-2", 0.5, math.inf),
        ("past", 2.0, 0.1),
    ):
        facts = RequestFacts(name, received_at=received_at, ttft_slo_seconds=slo_seconds)
        room.enter(facts, name, 99.0)
    assert served(room) == ["past", "soon", "late", "never", "never-2"]


def test_deadlines_count_within_a_flow_and_turns_between_flows() -> None:
    room = a_room_of(Fairness.ROUND_ROBIN, Ordering.SLO_DEADLINE)
    for name, slo_seconds in (("a-late", 9.0), ("a-soon", 1.0), ("b-late", 8.0)):
        room.enter(RequestFacts(name, flow=name[0], ttft_slo_seconds=slo_seconds), None, 99.0)
    assert served(room) == ["a-soon", "b-late", "a-late"]


def test_leaving_is_idempotent_and_counts_to_zero() -> None:
    room = WaitingRoom(lambda _: BandSettings())
    facts = a_request(2, size_bytes=100)
    room.enter(facts, None, 9.0)
    assert room.band_size(2) == (1, 100)
    assert room.leave(facts)
    assert not room.leave(facts)
    assert (len(room), room.bytes, room.band_size(2)) == (0, 0, (0, 0))


def test_only_the_same_class_at_the_same_or_higher_priority_is_ahead() -> None:
    room = WaitingRoom(lambda _: BandSettings())
    room.enter(a_request(1), "a", 9.0)
    assert room.is_ahead_of(a_request(1), "a")
    assert room.is_ahead_of(a_request(0), "a")
    assert not room.is_ahead_of(a_request(2), "a")
    assert not room.is_ahead_of(a_request(1), "b")


def test_expiry_is_in_order_of_deadlines_and_skips_who_left() -> None:
    room = WaitingRoom(lambda _: BandSettings())
    late, gone, soon = a_request(), a_request(), a_request()
    room.enter(late, None, 3.0)
    room.enter(gone, None, 1.0)
    room.enter(soon, None, 2.0)
    room.leave(gone)
    assert room.next_deadline() == 2.0
    assert room.expired(now=2.5) == [soon]
    assert room.next_deadline() == 3.0


def test_a_changed_budget_moves_every_deadline() -> None:
    room = WaitingRoom(lambda _: BandSettings())
    facts = a_request()
    room.enter(facts, None, 1.0)
    room.reset_deadlines(lambda _: 7.0)
    assert room.expired(now=6.9) == []
    assert room.expired(now=7.0) == [facts]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(-1, 2)), max_size=200))
def test_nobody_is_lost_or_doubled_and_memory_follows_the_queue(
    steps: list[tuple[bool, int, int]],
) -> None:
    room = WaitingRoom(lambda _: BandSettings())
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
