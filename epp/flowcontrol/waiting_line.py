"""The line of those who fit the same endpoints: in order, or each flow in turn."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from dataclasses import dataclass

from epp.core.request import RequestFacts


@dataclass(slots=True, eq=False)
class Turn:
    """A flow's place in the round of one priority, the same for all lines that it waits in."""

    flow: str
    place: int = 0  # the lowest is next; it only ever grows
    waiting: int = 0  # requests of the flow


@dataclass(slots=True, eq=False)
class Ticket:
    """One waiting request."""

    facts: RequestFacts
    fit_key: Hashable  # requests with equal ones fit the same endpoints: none does if one does not
    serial: int
    deadline: float  # monotonic seconds
    turn: Turn
    due: float  # monotonic seconds; who is due first comes first, then who was received first
    gone: bool = False


# Minus the priority, place of the flow, when it is due, when it was received, serial.
Precedence = tuple[int, int, float, float, int]


class Round:
    """The flows that wait at one priority. Who had a turn goes to the end, where new ones come.

    So nobody is overtaken by a flow that comes later, whatever it is called. A flow without a name
    is the only one where flows have no turns.
    """

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}
        self._last = 0

    def join(self, flow: str) -> Turn:
        turn = self._turns.get(flow)
        if turn is None:
            turn = self._turns[flow] = Turn(flow)
            self._to_the_end(turn)
        turn.waiting += 1
        return turn

    def leave(self, turn: Turn) -> None:
        turn.waiting -= 1
        if not turn.waiting:
            del self._turns[turn.flow]

    def served(self, turn: Turn) -> None:
        self._to_the_end(turn)

    def _to_the_end(self, turn: Turn) -> None:
        if turn.flow:
            self._last += 1
            turn.place = self._last


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
        self._queues: dict[Turn, Queue] = {}
        # Places as they were when they were looked at last: they only grow, so the first is right
        # once it has been brought up to date.
        self._places: list[tuple[int, int, Turn]] = []

    def __bool__(self) -> bool:
        return bool(self._queues)

    def add(self, ticket: Ticket) -> None:
        turn = ticket.turn
        queue = self._queues.get(turn)
        if queue is None:
            queue = self._queues[turn] = Queue()
            heapq.heappush(self._places, (turn.place, ticket.serial, turn))
        queue.add(ticket)

    def discard(self, ticket: Ticket) -> None:
        """One that is in the line."""
        queue = self._queues[ticket.turn]
        queue.discard(ticket)
        if not queue.size:
            del self._queues[ticket.turn]
            if len(self._places) > 2 * len(self._queues) + 64:
                self._places = [(turn.place, n, turn) for n, turn in enumerate(self._queues)]
                heapq.heapify(self._places)

    def head(self) -> Ticket:
        """Of the flow whose turn is next. The line is not empty."""
        places = self._places
        while True:
            place, serial, turn = places[0]
            queue = self._queues.get(turn)
            if queue is None:
                heapq.heappop(places)
            elif place != turn.place:
                heapq.heapreplace(places, (turn.place, serial, turn))
            else:
                return queue.head()


def precedence(ticket: Ticket) -> Precedence:
    """The lowest is next. While it waits, it only grows."""
    due, received_at, serial, _ = _entry(ticket)
    return -ticket.facts.priority, ticket.turn.place, due, received_at, serial


def _entry(ticket: Ticket) -> tuple[float, float, int, Ticket]:
    """Without a time at which it is due, the order is that of entering."""
    received_at = ticket.facts.received_at if ticket.due else 0.0
    return ticket.due, received_at, ticket.serial, ticket
