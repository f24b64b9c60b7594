"""Joins streams to the director: who waits, whose outcome is due, and when to look again.

The only place that holds sessions, the clock and the timer. Everything runs on one event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from epp.core.decision import Endpoints, Outcome
from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.director import Begun, Director, Ending
from epp.extproc.body_deadlines import BodyDeadlines
from epp.extproc.events import Event
from epp.telemetry.trace_context import TracePart

log = logging.getLogger(__name__)


class Waiter(Protocol):
    def settle(self, outcome: Outcome) -> None:
        """The outcome that a waiting request was promised. Must not raise."""
        ...


class Observer(Protocol):
    """Told of everything that is worth counting. Must not raise."""

    def began(self, begun: Begun, seconds: float) -> None:
        """`seconds` of our own time went into reading, routing and placing it."""
        ...

    def spent(self, stage: type[Event], seconds: float) -> None:
        """One message of the gateway has been dealt with."""
        ...

    def settled(self, begun: Begun, outcome: Outcome, now: float) -> None: ...
    def finished(self, begun: Begun, ending: Ending, now: float) -> None: ...


class Tracer(Protocol):
    """Says which requests are traced, and is told how they ended. Must not raise."""

    def join(self, headers: Mapping[str, str], now: float) -> TracePart | None:
        """None for a request that goes on with the trace headers it came with."""
        ...

    def finished(self, begun: Begun, ending: Ending, now: float) -> None: ...


# While somebody waits, time alone can make room: what was placed a while ago is taken to run.
LOOK_AGAIN_SECONDS: Final = 0.25


class Switchboard:
    def __init__(
        self,
        director: Director,
        observer: Observer,
        next_deadline: Callable[[], float | None],
        now: Callable[[], float],
        look_at: Callable[[Endpoint], None] = lambda _endpoint: None,
        tracer: Tracer | None = None,
    ) -> None:
        """`look_at` asks for a fresh reading of an endpoint whose state has become uncertain.

        Without a tracer no trace header is touched.
        """
        self.director = director
        self.observer = observer
        self.now = now
        self.tracer = tracer
        self.body_deadlines = BodyDeadlines(now)
        self._next_deadline = next_deadline
        self._look_at = look_at
        self._waiters: dict[RequestFacts, Waiter] = {}
        self._due: deque[tuple[RequestFacts, Outcome]] = deque()
        self._delivering = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def __len__(self) -> int:
        """Streams whose request waits."""
        return len(self._waiters)

    def wait(self, facts: RequestFacts, waiter: Waiter) -> None:
        self._waiters[facts] = waiter
        self._set_timer()

    def placed(self, decision: Endpoints) -> None:
        """An endpoint that was idle, or where requests may queue now, is worth a look."""
        self._worth_a_look(decision.ordered[0])
        for lease in decision.early_leases:
            self._worth_a_look(lease.endpoint)

    def _worth_a_look(self, endpoint: Endpoint) -> None:
        load = endpoint.load
        if load.requests == 1 or load.waiting > 0:
            self._look_at(endpoint)

    def finish(self, begun: Begun, ending: Ending) -> None:
        now = self.now()
        self._waiters.pop(begun.facts, None)
        outcomes = self.director.finish(begun.facts, ending, now)
        try:
            self.observer.finished(begun, ending, now)
            if self.tracer is not None:
                self.tracer.finished(begun, ending, now)
        except Exception:  # others have been placed by now, and wait to hear of it
            log.exception("bug: the end of a request could not be counted")
        self.deliver(outcomes)

    def something_changed(self) -> None:
        """After a scrape or a change of the pool. Cheap when nobody waits."""
        if self._waiters:
            self.deliver(self.director.something_changed(self.now()))

    def deliver(self, outcomes: Iterable[tuple[RequestFacts, Outcome]]) -> None:
        """An outcome can end its exchange, which makes the turn of others: a loop, no recursion."""
        self._due.extend(outcomes)
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._due:
                facts, outcome = self._due.popleft()
                self._waiters.pop(facts).settle(outcome)
        finally:
            self._delivering = False
        self._set_timer()

    def _set_timer(self) -> None:
        deadline = self._next_deadline()
        if deadline is not None:
            deadline = min(deadline, self.now() + LOOK_AGAIN_SECONDS)
        if self._timer is not None:
            if deadline is not None and self._timer_at <= deadline:
                return  # it looks again when it fires
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer_at = deadline  # what uvloop gives for a time that has come does not know it
            self._timer = asyncio.get_running_loop().call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.deliver(self.director.something_changed(self.now()))
