"""Who leads: the state machine of one candidate. Pure: it is told what happened and when.

`now` is a local clock that only goes forward. Times in a lease are other machines' words: how old
a lease is counts from when a change of it was seen here.
"""

from __future__ import annotations

import datetime
import random
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

from epp.app.election.lease import Lease, StoredLease
from epp.app.election.settings import ElectionSettings


@dataclass(frozen=True, slots=True)
class Look:
    """Read the lease, then call `observe` or `failed`."""


@dataclass(frozen=True, slots=True)
class Write:
    """Write it, if it is still the version that was seen; then `wrote`, `lost_race` or `failed`."""

    stored: StoredLease

    @property
    def creates(self) -> bool:
        return not self.stored.document


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do before this time; `inf` for ever."""

    until: float


Step: TypeAlias = Look | Write | Rest


class Election:
    """`tick` says the next step; the others tell how it went."""

    def __init__(self, settings: ElectionSettings, rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng
        self._seen: StoredLease | None = None  # None: there is no such object
        self._seen_at = -inf  # when what it says last changed
        self._current = False  # `_seen` is what the server has, as far as we know
        self._due = -inf
        self._held_until = -inf
        self._leaving = False
        self._released = False

    @property
    def holder(self) -> str:
        """As seen last; empty if nobody."""
        return self._seen.lease.holder if self._seen is not None else ""

    @property
    def held_until(self) -> float:
        """The time at which `leading` ends without a renewal."""
        return self._held_until

    def leading(self, now: float) -> bool:
        return now < self._held_until

    def tick(self, now: float, wall: datetime.datetime) -> Step:
        """`wall` is only written into the lease, for people to read."""
        if self._leaving:
            return self._leave_step(wall)
        if now < self._due:
            return Rest(self._due)
        if not self._current:
            return Look()
        if (wanted := self._wanted(now, wall)) is not None:
            return Write(wanted)
        self._pause(now)
        return Rest(self._due)

    def observe(self, stored: StoredLease | None, now: float) -> None:
        """The server's answer; None where there is no lease. `now` is when it came."""
        before = self._seen.lease if self._seen is not None else None
        after = stored.lease if stored is not None else None
        if after != before:
            self._seen_at = now
        self._seen, self._current = stored, True
        if after is None or after.holder != self._settings.identity:
            self._held_until = -inf

    def wrote(self, stored: StoredLease, started: float) -> None:
        """It was ours to write. Time counts from before the attempt: others may see it at once."""
        self._seen, self._seen_at, self._current = stored, started, True
        if self._leaving:
            self._released = stored.lease.holder != self._settings.identity
            return
        self._held_until = started + self._settings.renew_deadline_seconds
        self._due = started + self._settings.retry_seconds

    def lost_race(self, now: float) -> None:
        """Another version was there: it is looked at at once by who leads, else in a while."""
        self._current = False
        if not self.leading(now):
            self._pause(now)

    def failed(self, now: float) -> None:
        """No answer, or one of no use: what was asked for may have happened, or not."""
        self._current = False
        self._pause(now)

    def leave(self) -> None:
        """Lead no more; release the lease if it is ours."""
        self._leaving = True
        self._held_until = -inf

    def _leave_step(self, wall: datetime.datetime) -> Step:
        """One attempt with what is known. Who cannot release it lets it run out."""
        seen = self._seen
        ours = seen is not None and seen.lease.holder == self._settings.identity
        if self._released or not self._current or not ours:
            return Rest(inf)
        assert seen is not None
        return Write(StoredLease(seen.lease.released(wall), seen.document))

    def _wanted(self, now: float, wall: datetime.datetime) -> StoredLease | None:
        settings, seen = self._settings, self._seen
        if seen is None:
            first = Lease(transitions=-1).taken_by(settings.identity, settings.lease_seconds, wall)
            return StoredLease(first)
        lease = seen.lease
        if lease.holder == settings.identity:
            return StoredLease(lease.prolonged(settings.lease_seconds, wall), seen.document)
        if lease.holder and now < self._seen_at + lease.duration_seconds:
            return None
        return StoredLease(
            lease.taken_by(settings.identity, settings.lease_seconds, wall), seen.document
        )

    def _pause(self, now: float) -> None:
        """Until it is looked at again. Candidates spread out; who leads has no time to lose."""
        seconds = self._settings.retry_seconds
        if not self.leading(now):
            seconds *= 1 + self._settings.jitter * self._rng.random()
        self._due = now + seconds
        self._current = False
