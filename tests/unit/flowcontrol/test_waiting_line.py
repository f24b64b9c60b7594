from __future__ import annotations

import math
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from epp.core.request import RequestFacts
from epp.flowcontrol.waiting_line import Line, Queue, Round, Ticket, Turn, precedence

SERIALS = count()


def a_ticket(turn: Turn | None = None, *, due: float = 0.0, received_at: float = 0.0) -> Ticket:
    facts = RequestFacts("r", received_at=received_at)
    return Ticket(facts, None, next(SERIALS), math.inf, turn or Turn(""), due)


def serve(line: Line, turns: Round) -> str:
    """The flow that is served."""
    head = line.head()
    line.discard(head)
    turns.served(head.turn)
    turns.leave(head.turn)
    return head.turn.flow


def test_without_a_time_due_who_entered_first_is_first() -> None:
    queue = Queue()
    first, second = a_ticket(received_at=9.0), a_ticket(received_at=1.0)
    queue.add(first)
    queue.add(second)
    assert queue.head() is first


def test_who_is_due_first_is_first_and_then_who_was_received_first() -> None:
    queue = Queue()
    never = [a_ticket(due=math.inf, received_at=at) for at in (2.0, 1.0)]
    later, sooner = a_ticket(due=8.0), a_ticket(due=7.0)
    order = []
    for ticket in (*never, later, sooner):
        queue.add(ticket)
    for _ in range(4):
        order.append(queue.head())
        queue.discard(order[-1])
    assert order == [sooner, later, never[1], never[0]]
    assert queue.size == 0


def test_each_flow_has_its_turn_in_the_order_in_which_they_came() -> None:
    line, turns = Line(), Round()
    for flow in "caabbb":
        line.add(a_ticket(turns.join(flow)))
    assert "".join(serve(line, turns) for _ in range(6)) == "cababb"
    assert not line


def test_flows_that_come_later_overtake_nobody_whatever_they_are_called() -> None:
    line, turns = Line(), Round()
    for flow in ("m", "z", "m"):
        line.add(a_ticket(turns.join(flow)))
    order = []
    for newcomer in "abcd":
        line.add(a_ticket(turns.join(newcomer)))
        order.append(serve(line, turns))
    assert order == ["m", "z", "a", "m"]  # `a` came before `m` had its first turn


def test_a_flow_that_comes_back_joins_at_the_end() -> None:
    line, turns = Line(), Round()
    gone = a_ticket(turns.join("a"))
    for ticket in (gone, a_ticket(turns.join("b"))):
        line.add(ticket)
    line.discard(gone)
    turns.leave(gone.turn)
    line.add(a_ticket(turns.join("a")))
    assert [serve(line, turns) for _ in range(2)] == ["b", "a"]


def test_a_turn_counts_for_all_lines_that_the_flow_waits_in() -> None:
    one, other, turns = Line(), Line(), Round()
    for line in (one, other):
        for flow in "ab":
            line.add(a_ticket(turns.join(flow)))
    assert serve(one, turns) == "a"
    assert serve(other, turns) == "b"


def test_of_the_heads_of_several_lines_the_one_whose_turn_is_next_precedes() -> None:
    turns = Round()
    heads = [a_ticket(turns.join(flow)) for flow in "abcd"]
    for head in heads[:2]:
        turns.served(head.turn)
    assert [head.turn.flow for head in sorted(heads, key=precedence)] == ["c", "d", "a", "b"]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), st.integers(0, 5)), max_size=300))
def test_nobody_is_lost_and_memory_follows_the_queue(steps: list[tuple[bool, str, int]]) -> None:
    line, turns, inside = Line(), Round(), list[Ticket]()
    for enters, flow, due in steps:
        if enters or not inside:
            inside.append(a_ticket(turns.join(flow), due=float(due)))
            line.add(inside[-1])
        else:
            ticket = inside.pop(due % len(inside))
            line.discard(ticket)
            turns.leave(ticket.turn)
        assert bool(line) is bool(inside)
        assert len(line._places) <= 2 * len(line._queues) + 65
        assert len(turns._turns) == len(line._queues)
        for turn, queue in line._queues.items():
            own = [ticket for ticket in inside if ticket.turn is turn]
            assert queue.size == len(own) > 0
            assert len(queue._heap) <= 2 * len(own) + 64
            assert queue.head() in own
            assert queue.head().due == min(ticket.due for ticket in own)
