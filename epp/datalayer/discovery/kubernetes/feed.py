"""The list-and-watch conversation about one resource, without any I/O.

`next_step` says what to ask the API server, the other methods take what came. The known objects are
only ever changed as the server says: no error, no expired version and no new list empties them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar

from epp.datalayer.discovery.kubernetes.answers import (
    Bookmark,
    Event,
    Failure,
    FailureKind,
    Key,
    Page,
    Put,
    Removed,
)
from epp.datalayer.discovery.kubernetes.resource import Resource

T = TypeVar("T")

# Pages are read between two turns of the loop, so they are sized by bytes: an object may have one
# kilobyte or fifty.
FIRST_PAGE_OBJECTS: Final = 20
MAX_PAGE_OBJECTS: Final = 500
PAGE_BYTES: Final = 256 * 1024

WATCH_SECONDS: Final = (240.0, 300.0)  # a random time between, so that watches do not end together
STEADY_SECONDS: Final = 5.0  # a watch that lasts so long has worked
FIRST_BACK_OFF_SECONDS: Final = 1.0
MAX_BACK_OFF_SECONDS: Final = 30.0
LOOK_AGAIN_SECONDS: Final = 30.0  # for a resource that is not installed
# An API server that starts may not know custom resources for a moment.
MISSES_BEFORE_ABSENT: Final = 3


@dataclass(frozen=True, slots=True)
class ListPage:
    limit: int
    continue_token: str  # empty for the first page


@dataclass(frozen=True, slots=True)
class OpenWatch:
    resource_version: str
    seconds: float  # after which the server is to end it


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask whether the group has the resource: where permission is missing it may not exist."""


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


Step: TypeAlias = ListPage | OpenWatch | LookUp | Pause


class Feed(Generic[T]):
    """One resource. `objects` is replaced by the whole at a list and edited by watch events."""

    def __init__(self, resource: Resource, rng: random.Random) -> None:
        self.resource = resource
        self.objects: dict[Key, T] = {}
        self.problems: dict[Key, str] = {}  # objects that cannot be read, and why
        self.listed = False  # `objects` has been complete once, and the resource is still there
        self.absent = False  # the resource is not installed
        self.trouble: Failure | None = None  # why the last attempt failed
        self.verb = "list"  # of the present attempt
        self._rng = rng
        self._resource_version = ""  # to watch from; empty: list
        self._incoming: dict[Key, T] = {}  # of the pages so far of a list
        self._incoming_problems: dict[Key, str] = {}
        self._continue = ""  # where the next page begins
        self._page_objects = FIRST_PAGE_OBJECTS
        self._pause = 0.0
        self._failures = 0  # in a row
        self._misses = 0  # in a row: not found
        self._suspect: Failure | None = None  # forbidden, or perhaps not installed: look it up
        self._opened_at: float | None = None  # of the running watch
        self._heard = False  # something came on the running watch

    @property
    def answered(self) -> bool:
        """Whether it is known how matters stand, be it that nothing can be known now."""
        return self.listed or self.absent or self.trouble is not None

    def next_step(self) -> Step:
        if self._suspect is not None:
            return LookUp()
        if self._pause > 0.0:
            seconds, self._pause = self._pause, 0.0
            return Pause(seconds)
        if self._resource_version:
            self.verb = "watch"
            return OpenWatch(self._resource_version, self._rng.uniform(*WATCH_SECONDS))
        self.verb = "list"
        return ListPage(self._page_objects, self._continue)

    def took_page(self, page: Page[T]) -> bool:
        """Whether the known objects changed, which only the last page of a list can do."""
        if len(page):
            fitting = PAGE_BYTES * len(page) // max(1, page.size_bytes)
            self._page_objects = max(1, min(MAX_PAGE_OBJECTS, fitting))
        for key, value in page.objects.items():
            known = self.objects.get(key)
            self._incoming[key] = known if known == value and known is not None else value
        self._incoming_problems.update(page.problems)
        self._continue = page.continue_token
        if page.continue_token:
            return False
        changed = not self.listed or self._incoming != self.objects
        self.objects, self._incoming = self._incoming, {}
        self.problems, self._incoming_problems = self._incoming_problems, {}
        self.listed, self.absent, self.trouble = True, False, None
        self._misses = 0
        self._resource_version = page.resource_version
        return changed

    def watch_opened(self, now: float) -> None:
        self._opened_at, self._heard = now, False
        self.trouble = None

    def took_events(self, events: Iterable[Event[T]], now: float) -> bool:
        """Whether the known objects changed. An error event ends the watch: `watching` is false."""
        changed = False
        for event in events:
            if isinstance(event, Failure):
                return self.failed(event, now) or changed
            self._heard, self._failures = True, 0
            self._resource_version = event.resource_version
            changed |= self._took(event)
        return changed

    @property
    def watching(self) -> bool:
        return self._opened_at is not None

    def watch_ended(self, now: float) -> None:
        """The server ended it, or was silent for too long."""
        if self._opened_at is None:
            return
        lasted, self._opened_at = now - self._opened_at, None
        if lasted < STEADY_SECONDS:
            self._back_off()
            return
        self._failures = 0
        if not self._heard and lasted >= WATCH_SECONDS[0]:
            # Not even a bookmark: after a restore of the cluster our version may lie in its future.
            self._resource_version = ""

    def failed(self, failure: Failure, now: float) -> bool:
        """Whether the known objects changed, which only a resource that is gone for good does."""
        if self._opened_at is not None:
            if now - self._opened_at >= STEADY_SECONDS:
                self._failures = 0
            self._opened_at = None
        self._begin_anew()
        if failure.kind is FailureKind.GONE:
            self._resource_version = ""
            if self._failures == 0:
                self._failures = 1  # the first list is not delayed
            else:
                self._back_off()
            return False
        if failure.kind is FailureKind.NOT_FOUND:
            return self._not_found(failure)
        self._misses = 0
        self._back_off(failure.retry_after_seconds)
        if failure.kind is FailureKind.FORBIDDEN and not self.resource.required:
            self._suspect = failure
        else:
            self.trouble = failure
        return False

    def looked_up(self, exists: bool | None) -> bool:
        """Answer to LookUp, None if it failed. Whether the known objects changed."""
        suspect, self._suspect = self._suspect, None
        if exists is False:
            return self._vanish()
        self.trouble = suspect
        return False

    def _took(self, event: Put[T] | Removed | Bookmark) -> bool:
        if isinstance(event, Bookmark):
            return False
        key = event.key
        if isinstance(event, Put):
            if event.value is not None:
                self.problems.pop(key, None)
                if self.objects.get(key) == event.value:
                    return False
                self.objects[key] = event.value
                return True
            self.problems[key] = event.problem
        else:
            self.problems.pop(key, None)
        return self.objects.pop(key, None) is not None

    def _not_found(self, failure: Failure) -> bool:
        self._misses += 1
        self._resource_version = ""
        if self.listed and self._misses < MISSES_BEFORE_ABSENT:
            self.trouble = failure
            self._back_off()
            return False
        return self._vanish()

    def _vanish(self) -> bool:
        changed = bool(self.objects) or not self.absent
        self.objects, self.problems = {}, {}
        self.listed, self.absent, self.trouble = False, True, None
        self._resource_version = ""
        self._failures = 0
        self._pause = LOOK_AGAIN_SECONDS * self._rng.uniform(0.9, 1.1)
        return changed

    def _begin_anew(self) -> None:
        self._incoming, self._incoming_problems, self._continue = {}, {}, ""

    def _back_off(self, at_least: float = 0.0) -> None:
        self._failures += 1
        doubled = FIRST_BACK_OFF_SECONDS * 2.0 ** min(self._failures - 1, 16)
        seconds = max(at_least, doubled * self._rng.uniform(1.0, 1.5))
        self._pause = min(MAX_BACK_OFF_SECONDS, seconds)
