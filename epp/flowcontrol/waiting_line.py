"""The line of those who fit the same endpoints: in order, or each flow in turn."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Hashable
from dataclasses import dataclass

from epp.core.request import RequestFacts


@dataclass(slots=True, eq=False)
class Ticket:
    """One waiting request."""

    facts: RequestFacts
    fit_class: Hashable  # requests of one class fit the same endpoints: if one does not, none does
    serial: int
    deadline: float  # monotonic seconds
    flow: str  # that has turns; empty where flows have none
    due: float  # monotonic seconds; who is due first comes first, then who was received first
    gone: bool = False


class Queue:
    """Tickets in order of `due`, then of arrival. Those that left are dropped when they show up."""

    def __init__(self) -> None:
        self.size = 0
        self._heap: list[tuple[float, float, int, Ticket]] = []

    def add(self, ticket: Ticket) -> None:
        self.size += 1
        heapq.heappush(self._heap, _entry(ticket))

    def discard(self, ticket: Ticket) -> None:
        """One that is in the queue."""
        ticket.gone = True
        self.size -= 1
        if len(self._heap) > 2 * self.size + 64:
            self._heap = [entry for entry in self._heap if not entry[3].gone]
            heapq.heapify(self._heap)

    def head(self) -> Ticket:
        """Of a queue that is not empty."""
        heap = self._heap
        while heap[0][3].gone:
            heapq.heappop(heap)
        return heap[0][3]


class Line:
    """A queue for each flow; where flows have no turns it is one for all."""

    def __init__(self) -> None:
        self._queues: dict[str, Queue] = {}
        self._flows: list[str] = []  # of those that wait, ascending

    def __bool__(self) -> bool:
        return bool(self._flows)

    def add(self, ticket: Ticket) -> None:
        queue = self._queues.get(ticket.flow)
        if queue is None:
            queue = self._queues[ticket.flow] = Queue()
            insort(self._flows, ticket.flow)
        queue.add(ticket)

    def discard(self, ticket: Ticket) -> None:
        """One that is in the line."""
        queue = self._queues[ticket.flow]
        queue.discard(ticket)
        if not queue.size:
            del self._queues[ticket.flow]
            del self._flows[bisect_left(self._flows, ticket.flow)]

    def head(self, last_flow: str) -> Ticket:
        """Of the flow after the one that had its turn last. The line is not empty."""
        position = bisect_right(self._flows, last_flow)
        flow = self._flows[position if position < len(self._flows) else 0]
        return self._queues[flow].head()


def precedence(ticket: Ticket, last_flow: str) -> tuple[bool, str, float, float, int]:
    """The lowest of the heads of several lines is next."""
    due, received_at, serial, _ = _entry(ticket)
    return ticket.flow <= last_flow, ticket.flow, due, received_at, serial


def _entry(ticket: Ticket) -> tuple[float, float, int, Ticket]:
    """Without a time at which it is due, the order is that of entering."""
    received_at = ticket.facts.received_at if ticket.due else 0.0
    return ticket.due, received_at, ticket.serial, ticket
