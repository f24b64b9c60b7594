"""Late binding: a request is placed now, or waits with everything known about it.

Synchronous. An attempt schedules and reserves in one step, so nothing can come between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Final

from epp.core.decision import Outcome, Placed, Waiting
from epp.core.fullness import Fullness
from epp.core.refusal import Reason, Refused
from epp.core.request import RequestFacts
from epp.core.stopwatch import Timing
from epp.flowcontrol.settings import FlowControlSettings
from epp.flowcontrol.waiting_room import WaitingRoom

RATE_SAMPLES: Final = 64  # releases that the drain rate is measured over
MAX_RETRY_AFTER_SECONDS: Final = 30.0

# Places a request and reserves its load. None: not now. Raises Refused: never.
Attempt = Callable[[RequestFacts, float], Placed | None]


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
        self._released_at: deque[float] = deque(maxlen=RATE_SAMPLES)
        self._closed = False

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
                raise self._no_endpoints()
            return placed
        fit_class = self._fit_class(facts)
        if not self._room.is_ahead_of(facts, fit_class) and (placed := self._attempt(facts, now)):
            return placed
        self._follow_pool(now)
        self._check_may_wait(facts, empty=self._empty)
        facts.waiting_since = now
        facts.deadline = self._deadline_of(facts)
        self._room.enter(facts, fit_class, facts.deadline)
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
                raise self._no_endpoints()
            return None
        if placeable and not self._room.is_ahead_of(facts, self._fit_class(facts)):
            return None
        self._check_may_wait(facts, empty=self._pool_is_empty())
        return self._room.waiting_from(facts.priority)

    def abandon(self, facts: RequestFacts) -> None:
        """The client left. Frees its place in the waiting room at once."""
        self._room.leave(facts)

    def something_changed(self, now: float) -> list[tuple[RequestFacts, Outcome]]:
        """Call after a release, a scrape, a change of the pool, or `next_deadline`.

        Attempts are bounded by the places freed plus the fit classes, whatever the queue length.
        """
        if not len(self._room):
            self._follow_pool(now)
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
        outcomes: list[tuple[RequestFacts, Outcome]] = [
            (late, self._too_late(late)) for late in self._room.expired(now)
        ]
        stuck: set[Hashable] = set()
        while (head := self._room.next_head(stuck)) is not None:
            facts = head.facts
            try:
                outcome: Outcome | None = self._attempt(facts, now)
            except Refused as refusal:
                outcome = refusal
            if outcome is None:
                stuck.add(head.fit_class)
                continue
            self._room.take(head)
            outcomes.append((facts, outcome))
            if isinstance(outcome, Placed):
                self._released_at.append(now)
        return outcomes

    def next_deadline(self) -> float | None:
        """Monotonic seconds at which `something_changed` must be called at the latest."""
        return self._room.next_deadline()

    def close(self) -> list[tuple[RequestFacts, Outcome]]:
        """Refuse all who wait and all who come."""
        self._closed = True
        refused: list[tuple[RequestFacts, Outcome]] = []
        while (head := self._room.next_head(())) is not None:
            self._room.leave(head.facts)
            refusal = Refused(Reason.SHUTTING_DOWN, "flow controller shutting down", 1.0)
            refused.append((head.facts, refusal))
        return refused

    def _check_may_wait(self, facts: RequestFacts, *, empty: bool) -> None:
        settings = self._settings
        if empty and not settings.waits_for_endpoints:
            raise self._no_endpoints()
        if facts.priority < 0 and not settings.sheddable_waits:
            detail = f"system saturated, sheddable request dropped{_what_is_full(facts)}"
            raise Refused(Reason.SATURATED, detail, self._retry_after())
        band = settings.band(facts.priority)
        requests, size = self._room.band_size(facts.priority)
        size_with = size + facts.size_bytes
        all_with = self._room.bytes + facts.size_bytes
        if (
            requests + 1 > band.max_requests
            or size_with > band.max_bytes
            or (settings.max_requests and len(self._room) + 1 > settings.max_requests)
            or (settings.max_bytes and all_with > settings.max_bytes)
        ):
            if empty:
                raise self._no_endpoints()
            detail = f"request rejected pre-queue: queue at capacity{_what_is_full(facts)}"
            raise Refused(Reason.SATURATED, detail, self._retry_after())

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

    def _too_late(self, facts: RequestFacts) -> Refused:
        if self._empty:
            detail = (
                "request timed out in queue and no endpoints are available: request TTL expired"
            )
            return Refused(Reason.NO_ENDPOINTS, detail, self._retry_after())
        detail = f"request timed out in queue: request TTL expired{_what_is_full(facts)}"
        return Refused(Reason.TTL_EXPIRED, detail, self._retry_after())

    def _no_endpoints(self) -> Refused:
        detail = "no endpoints available: the pool has no endpoint that can be reached"
        return Refused(Reason.NO_ENDPOINTS, detail, self._retry_after())

    def _retry_after(self) -> float:
        """When the requests that wait now will have been placed, at the rate last measured."""
        waiting, released = len(self._room), self._released_at
        if not waiting or len(released) < 2 or released[-1] <= released[0]:
            return 1.0
        rate = (len(released) - 1) / (released[-1] - released[0])
        return min(MAX_RETRY_AFTER_SECONDS, max(1.0, waiting / rate))


def _what_is_full(facts: RequestFacts) -> str:
    """Of several profiles, the one that the request waited for; it goes on a detail's end."""
    return f": profile '{facts.full_profile}' has no room" if facts.full_profile else ""
