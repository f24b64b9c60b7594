"""Late binding: a request is placed now, or waits with everything known about it.

Synchronous. An attempt schedules and reserves in one step, so nothing can come between.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Final, Protocol

from epp.core.decision import Outcome, Placed, Waiting
from epp.core.endpoint import Endpoint
from epp.core.fullness import Fullness
from epp.core.refusal import Reason, Refused
from epp.core.request import RequestFacts
from epp.core.stopwatch import Timing
from epp.flowcontrol.drain_rate import DrainRate
from epp.flowcontrol.limits import is_full_for, make_room_for
from epp.flowcontrol.settings import FlowControlSettings
from epp.flowcontrol.waiting_room import WaitingRoom

MAX_RETRY_AFTER_SECONDS: Final = 30.0

# What one call may cost, in looks at endpoints: a millisecond or two. The rest comes in the next.
LOOKS_AT_ONCE: Final = 1024
ATTEMPT_LOOKS: Final = 64  # that an attempt costs beside one look at each endpoint
TOLD_AT_ONCE: Final = 16  # of those who were displaced


class Attempt(Protocol):
    def pool(self) -> Sequence[Endpoint]:
        """All endpoints that anybody may be placed on. Another object after every change."""
        ...

    def has_room(self, endpoints: Sequence[Endpoint], now: float) -> bool:
        """Whether room is no reason against placing a request that fits these."""
        ...

    def __call__(self, facts: RequestFacts, now: float) -> Placed | None:
        """Places a request and reserves its load. Raises Refused: never.

        None: not now, since none of the endpoints that are in `facts.full` then has room.
        """
        ...


class FlowController:
    def __init__(
        self,
        settings: FlowControlSettings,
        attempt: Attempt,
        fit_class: Callable[[RequestFacts], Hashable],
        pool_is_empty: Callable[[], bool],
        timing: Timing | None = None,
    ) -> None:
        """`timing` is of the passes over those who wait; None: they are not timed."""
        self._settings = settings
        self._attempt = attempt
        self._fit_class = fit_class
        self._pool_is_empty = pool_is_empty
        self._timing = timing
        self._room = WaitingRoom(settings.band)
        self._empty = True
        self._regime_since = 0.0  # when the pool last became empty or stopped being so
        self._rate = DrainRate()
        self._closed = False
        self._displaced: dict[RequestFacts, Refused] = {}  # who wait no more and are to be told
        self._pool = attempt.pool()  # that those who wait were last tried with
        self._more_since = 0.0  # when it was known that something is left to do
        self._unfinished = False  # that search: it would have taken too long
        self._only_looked = False  # in the last call: it tried nobody

    def reconfigure(
        self,
        settings: FlowControlSettings,
        attempt: Attempt,
        fit_class: Callable[[RequestFacts], Hashable],
        *,
        same_classes: bool = False,
    ) -> None:
        """From now on these hold. Who waits stays, and gets the new budget's deadline.

        `same_classes` says that `fit_class` tells the same requests apart as the one before. Raises
        what `fit_class` raises, and then nothing has changed. Call `something_changed` next.
        """
        if not same_classes or settings.all_bands != self._settings.all_bands:
            self._room.rearrange(settings.band, fit_class)
        self._room.forget_what_failed()
        same_budgets = settings.budgets == self._settings.budgets
        self._settings = settings
        self._attempt = attempt
        self._fit_class = fit_class
        if not same_budgets:
            self._room.reset_deadlines(self._deadline_of)

    def requests(self) -> Iterator[RequestFacts]:
        """All that wait, in order of arrival."""
        return self._room.requests()

    def waiting(self) -> Iterator[tuple[int, int, int]]:
        """Priority, requests and bytes of every band where someone waits."""
        return self._room.bands()

    def fullness(self, priorities: Iterable[int]) -> Fullness:
        """At these priorities, 0, those that have limits of their own, and where someone waits."""
        settings, room = self._settings, self._room
        known = {0, *priorities, *settings.bands, *[priority for priority, _, _ in room.bands()]}
        bands: dict[int, tuple[float, float]] = {}
        for priority in sorted(known, reverse=True):
            band, (requests, size) = settings.band(priority), room.band_size(priority)
            bands[priority] = requests / band.max_requests, size / band.max_bytes
        return Fullness(
            bands,
            len(room) / settings.max_requests if settings.max_requests else None,
            room.bytes / settings.max_bytes if settings.max_bytes else None,
        )

    @property
    def room(self) -> WaitingRoom:
        """For metrics and the status page. Only the controller writes to it."""
        return self._room

    def place(self, facts: RequestFacts, now: float) -> Outcome | Waiting:
        """Raises Refused where neither placing nor waiting is possible."""
        if self._closed:
            raise Refused(Reason.SHUTTING_DOWN, "flow controller shutting down")
        if not facts.needs_room:
            if (placed := self._attempt(facts, now)) is None:
                raise self._no_endpoints(now)
            return placed
        full: Sequence[Endpoint] | None = None  # where it would find no room
        if not self._is_behind(facts):
            if (placed := self._attempt(facts, now)) is not None:
                return placed
            full, facts.full = facts.full, ()
        self._follow_pool(now)
        self._check_may_wait(facts, now, empty=self._empty)
        self._displace_for(facts, now)
        if not len(self._room):
            self._pool = self._attempt.pool()
            self._rate.begin()
        facts.waiting_since = now
        facts.deadline = self._deadline_of(facts)
        self._room.enter(facts, self._fit_class(facts), facts.deadline, full)
        # Budgets may start anew or change while it waits; this is what no budget goes beyond.
        return Waiting(now + self._settings.max_wait_seconds)

    def preview(self, facts: RequestFacts, now: float, *, placeable: bool) -> int | None:
        """What `place` would come to, without doing it: None is placed, else those ahead in line.

        `placeable` says whether an attempt would succeed. Raises Refused as `place` does.
        """
        if self._closed:
            raise Refused(Reason.SHUTTING_DOWN, "flow controller shutting down")
        if not facts.needs_room:
            if not placeable:
                raise self._no_endpoints(now)
            return None
        if placeable and not self._is_behind(facts):
            return None
        self._check_may_wait(facts, now, empty=self._pool_is_empty())
        return self._room.waiting_from(facts.priority)

    def abandon(self, facts: RequestFacts) -> None:
        """The client left. Frees its place in the waiting room at once."""
        self._room.leave(facts)
        self._displaced.pop(facts, None)

    def something_changed(self, now: float) -> list[tuple[RequestFacts, Outcome]]:
        """Call after a release, a scrape, a change of the pool, or `next_deadline`.

        Whoever is placed is first in order of all who can be. What one call costs is bounded; what
        is left then goes on with the next one, for which `next_deadline` asks at once.
        """
        if not len(self._room) and not self._displaced:
            self._follow_pool(now)
            self._unfinished = False
            return []
        timing = self._timing
        if timing is None:
            return self._pass(now)
        began = timing.clock()
        outcomes = self._pass(now)
        timing.observe(timing.clock() - began)
        return outcomes

    def _pass(self, now: float) -> list[tuple[RequestFacts, Outcome]]:
        self._follow_pool(now)
        displaced = tuple(self._displaced)[:TOLD_AT_ONCE] if self._displaced else ()
        outcomes: list[tuple[RequestFacts, Outcome]] = [
            (facts, self._displaced.pop(facts)) for facts in displaced
        ]
        if not len(self._room):
            self._unfinished = False
            return outcomes
        outcomes += [(late, self._too_late(late, now)) for late in self._room.expired(now)]
        if len(self._room):
            self._place_waiting(outcomes, now)
        return outcomes

    def next_deadline(self) -> float | None:
        """Monotonic seconds at which `something_changed` must be called at the latest."""
        if self._displaced or (self._unfinished and len(self._room)):
            return self._more_since  # at once
        return self._room.next_deadline()

    def close(self) -> list[tuple[RequestFacts, Outcome]]:
        """Refuse all who wait and all who come."""
        self._closed = True
        refused: list[tuple[RequestFacts, Outcome]] = list(self._displaced.items())
        self._displaced.clear()
        for facts in tuple(self._room.requests()):
            self._room.leave(facts)
            refusal = Refused(Reason.SHUTTING_DOWN, "flow controller shutting down", 1.0)
            refused.append((facts, refusal))
        return refused

    def _place_waiting(self, outcomes: list[tuple[RequestFacts, Outcome]], now: float) -> None:
        """In order, those who can be placed now; their outcomes are appended.

        Classes that failed are passed over while there is no room where they fit.
        """
        room, attempt = self._room, self._attempt
        pool = attempt.pool()
        cost = ATTEMPT_LOOKS + len(pool)
        if pool is not self._pool:
            self._pool = pool
            room.forget_what_failed()
        if not self._unfinished:
            room.begin_search(max(1, LOOKS_AT_ONCE // (2 * cost)))
        elif not self._only_looked:
            room.begin_search(0)  # room that came since is seen
        self._more_since, self._only_looked = now, True
        search = room.search(LOOKS_AT_ONCE, pool, lambda some: attempt.has_room(some, now))
        while (found := search.next()) is not None:
            search.looks -= cost
            self._only_looked = False
            facts = found.head().facts
            try:
                outcome: Outcome | None = attempt(facts, now)
            except Refused as refusal:
                outcome = refusal
            if outcome is None:
                full, facts.full = facts.full, ()
                room.failed(found, full)
                continue
            room.take(facts)
            outcomes.append((facts, outcome))
            if isinstance(outcome, Placed):
                self._rate.placed(now)
        self._unfinished = bool(search)

    def _is_behind(self, facts: RequestFacts) -> bool:
        """Whether others wait for the same, whom it may not overtake."""
        room = self._room
        return len(room) > 0 and room.is_ahead_of(facts, self._fit_class(facts))

    def _check_may_wait(self, facts: RequestFacts, now: float, *, empty: bool) -> None:
        settings = self._settings
        if empty and not settings.waits_for_endpoints:
            raise self._no_endpoints(now)
        if facts.priority < 0 and not settings.sheddable_waits:
            detail = f"system saturated, sheddable request dropped{_what_is_full(facts)}"
            raise Refused(Reason.SATURATED, detail, self._retry_after(now))
        if is_full_for(facts, settings, self._room):
            detail = "request rejected pre-queue: queue at capacity"
            raise self._queue_full(facts, detail, now, empty=empty)

    def _displace_for(self, facts: RequestFacts, now: float) -> None:
        for displaced in make_room_for(facts, self._settings, self._room):
            detail = "request evicted from queue: queue at capacity, one of higher priority came"
            self._displaced[displaced] = self._queue_full(displaced, detail, now, empty=self._empty)
            self._more_since = now

    def _queue_full(self, facts: RequestFacts, detail: str, now: float, *, empty: bool) -> Refused:
        if empty:
            return self._no_endpoints(now)
        return Refused(Reason.SATURATED, f"{detail}{_what_is_full(facts)}", self._retry_after(now))

    def _follow_pool(self, now: float) -> None:
        """Each flip between an empty and a filled pool starts the budget of every waiter anew."""
        empty = self._pool_is_empty()
        if empty is self._empty:
            return
        self._empty = empty
        self._regime_since = now
        self._room.reset_deadlines(self._deadline_of)

    def _deadline_of(self, facts: RequestFacts) -> float:
        settings = self._settings
        assert facts.waiting_since is not None
        ttl = settings.no_endpoint_ttl_seconds if self._empty else settings.request_ttl_seconds
        last = facts.waiting_since + settings.max_wait_seconds
        return min(last, max(facts.waiting_since, self._regime_since) + ttl) if ttl else last

    def _too_late(self, facts: RequestFacts, now: float) -> Refused:
        if self._empty:
            detail = (
                "request timed out in queue and no endpoints are available: request TTL expired"
            )
            return Refused(Reason.NO_ENDPOINTS, detail, self._retry_after(now))
        detail = f"request timed out in queue: request TTL expired{_what_is_full(facts)}"
        return Refused(Reason.TTL_EXPIRED, detail, self._retry_after(now))

    def _no_endpoints(self, now: float) -> Refused:
        detail = "no endpoints available: the pool has no endpoint that can be reached"
        return Refused(Reason.NO_ENDPOINTS, detail, self._retry_after(now))

    def _retry_after(self, now: float) -> float:
        """When the requests that wait now will have been placed, at the rate last measured."""
        rate = self._rate.per_second(now)
        return min(MAX_RETRY_AFTER_SECONDS, max(1.0, len(self._room) / rate)) if rate else 1.0


def _what_is_full(facts: RequestFacts) -> str:
    """Of several profiles, the one that the request waited for; it goes on a detail's end."""
    return f": profile '{facts.full_profile}' has no room" if facts.full_profile else ""
