from __future__ import annotations

import math
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from epp.core.request import RequestFacts
from epp.flowcontrol.waiting_line import Line, Queue, Ticket, precedence

SERIALS = count()


def a_ticket(flow: str = "", *, due: float = 0.0, received_at: float = 0.0) -> Ticket:
    facts = RequestFacts("r", received_at=received_at)
    return Ticket(facts, None, next(SERIALS), math.inf, flow, due)


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


def test_each_flow_has_its_turn() -> None:
    line = Line()
    for flow in "caabbb":
        line.add(a_ticket(flow))
    order, last = "", ""
    while line:
        head = line.head(last)
        line.discard(head)
        order, last = order + head.flow, head.flow
    assert order == "abcabb"


def test_the_flow_after_the_last_one_is_next_though_the_last_one_left() -> None:
    line = Line()
    for flow in "ad":
        line.add(a_ticket(flow))
    assert line.head("b").flow == "d"
    assert line.head("d").flow == "a"


def test_of_the_heads_of_several_lines_the_one_whose_turn_is_next_precedes() -> None:
    heads = [a_ticket(flow) for flow in "abcd"]
    order = sorted(heads, key=lambda head: precedence(head, "b"))
    assert [head.flow for head in order] == ["c", "d", "a", "b"]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), st.integers(0, 5)), max_size=300))
def test_nobody_is_lost_and_memory_follows_the_queue(steps: list[tuple[bool, str, int]]) -> None:
    line, inside = Line(), list[Ticket]()
    for enters, flow, due in steps:
        if enters or not inside:
            inside.append(a_ticket(flow, due=float(due)))
            line.add(inside[-1])
        else:
            line.discard(inside.pop(due % len(inside)))
        assert bool(line) is bool(inside)
        for name, queue in line._queues.items():
            own = [ticket for ticket in inside if ticket.flow == name]
            assert queue.size == len(own) > 0
            assert len(queue._heap) <= 2 * len(own) + 64
            assert queue.head() in own
            assert queue.head().due == min(ticket.due for ticket in own)
