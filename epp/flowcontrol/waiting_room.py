"""The waiting order: highest priority first, within one priority as its band has it.

Pure: no clock and no tasks. Callers pass `now` and act on what is returned.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Container, Hashable, Iterator
from dataclasses import dataclass, field
from itertools import count

from epp.core.request import RequestFacts
from epp.flowcontrol.settings import BandSettings, Fairness, Ordering
from epp.flowcontrol.waiting_line import Line, Round, Ticket, precedence


@dataclass(slots=True)
class Band:
    """The requests that wait at one priority, by fit class."""

    settings: BandSettings
    classes: dict[Hashable, Line] = field(default_factory=dict)
    round: Round = field(default_factory=Round)
    requests: int = 0
    bytes: int = 0


class WaitingRoom:
    """Enter and leave are O(log n); the heads are found per fit class."""

    def __init__(self, settings_of: Callable[[int], BandSettings]) -> None:
        """With the settings of every priority."""
        self.bytes = 0
        self._settings_of = settings_of
        self._bands: dict[int, Band] = {}
        self._descending: tuple[int, ...] = ()
        self._tickets: dict[RequestFacts, Ticket] = {}
        self._deadlines: list[tuple[float, int, Ticket]] = []
        self._serials = count()

    def __len__(self) -> int:
        return len(self._tickets)

    def __contains__(self, facts: RequestFacts) -> bool:
        return facts in self._tickets

    def waiting_from(self, priority: int) -> int:
        """Requests that wait at this priority or a higher one."""
        return sum(band.requests for level, band in self._bands.items() if level >= priority)

    def requests(self) -> Iterator[RequestFacts]:
        """All that wait, in order of arrival."""
        return iter(self._tickets)

    def band_size(self, priority: int) -> tuple[int, int]:
        """Requests and bytes that wait at a priority."""
        band = self._bands.get(priority)
        return (band.requests, band.bytes) if band is not None else (0, 0)

    def bands(self) -> Iterator[tuple[int, int, int]]:
        """Priority, requests and bytes, highest priority first."""
        for priority in self._descending:
            yield priority, *self.band_size(priority)

    def enter(self, facts: RequestFacts, fit_class: Hashable, deadline: float) -> None:
        band = self._bands.get(facts.priority)
        if band is None:
            band = self._bands[facts.priority] = Band(self._settings_of(facts.priority))
            self._descending = tuple(sorted(self._bands, reverse=True))
        ticket = Ticket(
            facts=facts,
            fit_class=fit_class,
            serial=next(self._serials),
            deadline=deadline,
            turn=band.round.join(_flow_of(facts, band.settings)),
            due=_due(facts, band.settings),
        )
        self._line(band, fit_class).add(ticket)
        band.requests += 1
        band.bytes += facts.size_bytes
        self.bytes += facts.size_bytes
        self._tickets[facts] = ticket
        self._push(ticket)

    def take(self, ticket: Ticket) -> None:
        """The head that is served: its flow has had its turn."""
        self._bands[ticket.facts.priority].round.served(ticket.turn)
        self.leave(ticket.facts)

    def leave(self, facts: RequestFacts) -> Ticket | None:
        """Idempotent: a request may be placed, expire or be abandoned, in any order."""
        ticket = self._tickets.pop(facts, None)
        if ticket is None:
            return None
        band = self._bands[facts.priority]
        line = band.classes[ticket.fit_class]
        line.discard(ticket)
        band.round.leave(ticket.turn)
        band.requests -= 1
        band.bytes -= facts.size_bytes
        self.bytes -= facts.size_bytes
        if not line:
            del band.classes[ticket.fit_class]
        if not band.classes:
            del self._bands[facts.priority]
            self._descending = tuple(sorted(self._bands, reverse=True))
        if len(self._deadlines) > 2 * len(self._tickets) + 64:
            self._rebuild_deadlines()
        return ticket

    def next_head(self, stuck: Container[Hashable]) -> Ticket | None:
        """The first in order whose fit class is not in `stuck`."""
        for priority in self._descending:
            best: Ticket | None = None
            for fit_class, line in self._bands[priority].classes.items():
                if fit_class in stuck:
                    continue
                head = line.head()
                if best is None or precedence(head) < precedence(best):
                    best = head
            if best is not None:
                return best
        return None

    def is_ahead_of(self, facts: RequestFacts, fit_class: Hashable) -> bool:
        """Whether a request of the same class waits at the same or a higher priority."""
        return any(
            fit_class in self._bands[priority].classes
            for priority in self._descending
            if priority >= facts.priority
        )

    def expired(self, now: float) -> list[RequestFacts]:
        """Takes out those whose deadline has come."""
        late: list[RequestFacts] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            ticket = heapq.heappop(self._deadlines)[2]
            if self._tickets.get(ticket.facts) is ticket:
                self.leave(ticket.facts)
                late.append(ticket.facts)
        return late

    def next_deadline(self) -> float | None:
        while self._deadlines:
            ticket = self._deadlines[0][2]
            if self._tickets.get(ticket.facts) is ticket:
                return ticket.deadline
            heapq.heappop(self._deadlines)
        return None

    def reset_deadlines(self, deadline_of: Callable[[RequestFacts], float]) -> None:
        """The budget in force changed for everyone. O(n)."""
        for facts, ticket in self._tickets.items():
            ticket.deadline = deadline_of(facts)
        self._rebuild_deadlines()

    def rearrange(
        self,
        settings_of: Callable[[int], BandSettings],
        fit_class_of: Callable[[RequestFacts], Hashable],
    ) -> None:
        """Other rules say who fits where and whose turn it is. Arrivals and deadlines stay.

        Raises what `fit_class_of` raises, and then nothing has changed. O(n log n).
        """
        classed = [(ticket, fit_class_of(facts)) for facts, ticket in self._tickets.items()]
        self._settings_of = settings_of
        other_turns: set[int] = set()
        for priority, band in self._bands.items():
            settings = settings_of(priority)
            if settings.fairness is not band.settings.fairness:
                other_turns.add(priority)
                band.round = Round()
            band.settings = settings
            band.classes.clear()
        for ticket, fit_class in classed:
            facts = ticket.facts
            band = self._bands[facts.priority]
            ticket.fit_class = fit_class
            ticket.due = _due(facts, band.settings)
            if facts.priority in other_turns:
                ticket.turn = band.round.join(_flow_of(facts, band.settings))
            self._line(band, fit_class).add(ticket)

    @staticmethod
    def _line(band: Band, fit_class: Hashable) -> Line:
        line = band.classes.get(fit_class)
        if line is None:
            line = band.classes[fit_class] = Line()
        return line

    def _push(self, ticket: Ticket) -> None:
        heapq.heappush(self._deadlines, (ticket.deadline, ticket.serial, ticket))

    def _rebuild_deadlines(self) -> None:
        self._deadlines = [(t.deadline, t.serial, t) for t in self._tickets.values()]
        heapq.heapify(self._deadlines)


def _flow_of(facts: RequestFacts, settings: BandSettings) -> str:
    """Empty where flows have no turns."""
    return facts.flow if settings.fairness is Fairness.ROUND_ROBIN else ""


def _due(facts: RequestFacts, settings: BandSettings) -> float:
    by_slo = settings.ordering is Ordering.SLO_DEADLINE
    return facts.received_at + facts.ttft_slo_seconds if by_slo else 0.0
