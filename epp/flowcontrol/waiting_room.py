"""The waiting order: highest priority first, within one priority as its band has it.

Pure: no clock and no tasks. Callers pass `now` and act on what is returned.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.flowcontrol.fit_classes import FitClass, FitClasses, Search
from epp.flowcontrol.settings import BandSettings, Fairness, Ordering
from epp.flowcontrol.waiting_line import Round, Ticket


@dataclass(slots=True)
class Band:
    """The requests that wait at one priority."""

    settings: BandSettings
    round: Round = field(default_factory=Round)
    requests: dict[RequestFacts, Ticket] = field(default_factory=dict)  # in order of arrival
    bytes: int = 0


class WaitingRoom:
    """Enter, leave and the next in order are O(log n) of requests and classes."""

    def __init__(self, settings_of: Callable[[int], BandSettings]) -> None:
        """With the settings of every priority."""
        self.bytes = 0
        self._settings_of = settings_of
        self._bands: dict[int, Band] = {}
        self._descending: tuple[int, ...] = ()
        self._classes = FitClasses()
        self._tickets: dict[RequestFacts, Ticket] = {}
        self._deadlines: list[tuple[float, int, Ticket]] = []
        self._serials = count()

    def __len__(self) -> int:
        return len(self._tickets)

    def __contains__(self, facts: RequestFacts) -> bool:
        return facts in self._tickets

    def waiting_from(self, priority: int) -> int:
        """Requests that wait at this priority or a higher one."""
        return sum(len(b.requests) for level, b in self._bands.items() if level >= priority)

    def requests(self) -> Iterator[RequestFacts]:
        """All that wait, in order of arrival."""
        return iter(self._tickets)

    def waiting_below(self, priority: int) -> tuple[int, int]:
        """Requests that wait at lower priorities, and their bytes."""
        bands = [band for level, band in self._bands.items() if level < priority]
        return sum(len(band.requests) for band in bands), sum(band.bytes for band in bands)

    def last_of_lowest(self) -> RequestFacts:
        """Who came last at the lowest priority. The room is not empty."""
        return next(reversed(self._bands[self._descending[-1]].requests))

    def band_size(self, priority: int) -> tuple[int, int]:
        """Requests and bytes that wait at a priority."""
        band = self._bands.get(priority)
        return (len(band.requests), band.bytes) if band is not None else (0, 0)

    def bands(self) -> Iterator[tuple[int, int, int]]:
        """Priority, requests and bytes, highest priority first."""
        for priority in self._descending:
            yield priority, *self.band_size(priority)

    def enter(
        self,
        facts: RequestFacts,
        fit_key: Hashable,
        deadline: float,
        full: Sequence[Endpoint] | None = None,
    ) -> None:
        """`full` is where it was just seen to find no room; None: it may not have been tried."""
        band = self._bands.get(facts.priority)
        if band is None:
            band = self._bands[facts.priority] = Band(self._settings_of(facts.priority))
            self._descending = tuple(sorted(self._bands, reverse=True))
        ticket = Ticket(
            facts=facts,
            fit_key=fit_key,
            serial=next(self._serials),
            deadline=deadline,
            turn=band.round.join(_flow_of(facts, band.settings)),
            due=_due(facts, band.settings),
        )
        self._classes.add(ticket, full)
        band.requests[facts] = ticket
        band.bytes += facts.size_bytes
        self.bytes += facts.size_bytes
        self._tickets[facts] = ticket
        heapq.heappush(self._deadlines, (deadline, ticket.serial, ticket))

    def take(self, facts: RequestFacts) -> None:
        """One that is served: its flow has had its turn."""
        ticket = self._tickets[facts]
        self._bands[facts.priority].round.served(ticket.turn)
        self.leave(facts)

    def leave(self, facts: RequestFacts) -> bool:
        """Idempotent: a request may be placed, expire or be abandoned, in any order."""
        ticket = self._tickets.pop(facts, None)
        if ticket is None:
            return False
        band = self._bands[facts.priority]
        self._classes.discard(ticket)
        band.round.leave(ticket.turn)
        del band.requests[facts]
        band.bytes -= facts.size_bytes
        self.bytes -= facts.size_bytes
        if not band.requests:
            del self._bands[facts.priority]
            self._descending = tuple(sorted(self._bands, reverse=True))
        if len(self._deadlines) > 2 * len(self._tickets) + 64:
            self._rebuild_deadlines()
        return True

    def is_ahead_of(self, facts: RequestFacts, fit_key: Hashable) -> bool:
        """Whether a request of the same class waits at the same or a higher priority."""
        highest = self._classes.highest_priority(fit_key)
        return highest is not None and highest >= facts.priority

    def begin_search(self, anyway: int) -> None:
        """Whoever was not placed may be now; see the classes."""
        self._classes.begin_search(anyway)

    def search(
        self,
        looks: int,
        pool: Sequence[Endpoint],
        has_room: Callable[[Sequence[Endpoint]], bool],
    ) -> Search:
        """The rest of the search that was begun."""
        return self._classes.search(looks, pool, has_room)

    def failed(self, fit_class: FitClass, full: Sequence[Endpoint]) -> None:
        """Its head was tried, and found no room on any of these, where it fits."""
        self._classes.failed(fit_class, full)

    def forget_what_failed(self) -> None:
        """The pool or the rules changed: anybody may fit anywhere."""
        self._classes.forget_what_failed()

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
        fit_key_of: Callable[[RequestFacts], Hashable],
    ) -> None:
        """Other rules say who fits where and whose turn it is. Arrivals and deadlines stay.

        Raises what `fit_key_of` raises, and then nothing has changed. O(n log n).
        """
        keyed = [(ticket, fit_key_of(facts)) for facts, ticket in self._tickets.items()]
        self._settings_of = settings_of
        self._classes = FitClasses()
        other_turns: set[int] = set()
        for priority, band in self._bands.items():
            settings = settings_of(priority)
            if settings.fairness is not band.settings.fairness:
                other_turns.add(priority)
                band.round = Round()
            band.settings = settings
        for ticket, fit_key in keyed:
            facts = ticket.facts
            band = self._bands[facts.priority]
            ticket.fit_key = fit_key
            ticket.due = _due(facts, band.settings)
            if facts.priority in other_turns:
                ticket.turn = band.round.join(_flow_of(facts, band.settings))
            self._classes.add(ticket, None)

    def _rebuild_deadlines(self) -> None:
        self._deadlines = [(t.deadline, t.serial, t) for t in self._tickets.values()]
        heapq.heapify(self._deadlines)


def _flow_of(facts: RequestFacts, settings: BandSettings) -> str:
    """Empty where flows have no turns."""
    return facts.flow if settings.fairness is Fairness.ROUND_ROBIN else ""


def _due(facts: RequestFacts, settings: BandSettings) -> float:
    by_slo = settings.ordering is Ordering.SLO_DEADLINE
    return facts.received_at + facts.ttft_slo_seconds if by_slo else 0.0
