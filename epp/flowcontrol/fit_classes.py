"""Who waits for the same: classes of requests, and groups of classes by where there was no room.

So what would not find room is passed over without an attempt, however many classes there are.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import count
from typing import Final

from epp.core.endpoint import Endpoint
from epp.flowcontrol.waiting_line import Line, Precedence, Ticket, precedence

LOOK: Final = 4  # looks at endpoints that it costs to ask whether there is room on any
FEW_GROUPS: Final = 16  # more are only looked at where one of their endpoints has room by itself
_ENTRIES: Final = count(1)


class FitClass:
    """Requests that fit the same endpoints whatever the endpoints are, a line for each priority."""

    __slots__ = ("entry", "group", "key", "known", "lines")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.lines: dict[int, Line] = {}
        self.group: Group | None = None
        self.entry = 0  # the number of its entry there that counts
        self.known: Precedence = (0, 0, 0.0, 0.0, 0)  # of its head, as the entry has it

    def head(self) -> Ticket:
        """Of a class where somebody waits."""
        return self.lines[max(self.lines)].head()

    def add(self, ticket: Ticket) -> None:
        line = self.lines.get(ticket.facts.priority)
        if line is None:
            line = self.lines[ticket.facts.priority] = Line()
        line.add(ticket)
        if self.group is not None and (new := precedence(ticket)) < self.known:
            self.group.enter(self, new)

    def discard(self, ticket: Ticket) -> None:
        """One that is in the class."""
        line = self.lines[ticket.facts.priority]
        line.discard(ticket)
        if not line:
            del self.lines[ticket.facts.priority]


class Group:
    """Classes in order of their heads. A class is in one group at a time."""

    __slots__ = ("closed_at", "endpoints", "heads", "size")

    def __init__(self, endpoints: tuple[Endpoint, ...] | None) -> None:
        # Where its classes were last seen to fit, and no room was; None: unknown, maybe anywhere.
        self.endpoints = endpoints
        self.size = 0
        self.closed_at = 0  # the last search that found no room there
        # As they were when they were looked at last: what changes unseen comes later.
        self.heads: list[tuple[Precedence, int, FitClass]] = []

    def add(self, fit_class: FitClass) -> None:
        fit_class.group = self
        self.size += 1
        self.enter(fit_class, precedence(fit_class.head()))

    def enter(self, fit_class: FitClass, head: Precedence) -> None:
        """One of the group has another head."""
        fit_class.known, fit_class.entry = head, next(_ENTRIES)
        heapq.heappush(self.heads, (head, fit_class.entry, fit_class))
        if len(self.heads) > 2 * self.size + 64:
            self.heads = [entry for entry in self.heads if entry[2].entry == entry[1]]
            heapq.heapify(self.heads)

    def discard(self, fit_class: FitClass) -> None:
        """One of the group."""
        fit_class.group, fit_class.entry = None, 0
        self.size -= 1

    def take_over(self, others: Iterable[Group]) -> None:
        """All classes of the others, which are of no use then."""
        for other in others:
            for entry in other.heads:
                if entry[2].entry == entry[1]:
                    entry[2].group = self
                    self.heads.append(entry)
            self.size += other.size
        heapq.heapify(self.heads)

    def first(self) -> FitClass | None:
        """Whose head is next; its `known` is right then. None of a group without classes."""
        heads = self.heads
        while heads:
            known, entry, fit_class = heads[0]
            if fit_class.entry != entry:
                heapq.heappop(heads)
                continue
            head = precedence(fit_class.head())
            if head == known:
                return fit_class
            fit_class.known = head
            heapq.heapreplace(heads, (head, entry, fit_class))
        return None


class FitClasses:
    """All classes where somebody waits."""

    def __init__(self) -> None:
        self._classes: dict[Hashable, FitClass] = {}
        self._untried = Group(None)
        self._groups: dict[tuple[Endpoint, ...], Group] = {}
        self._failed: dict[FitClass, None] = {}  # of the groups, the longest ago first
        self._search = 0

    def __len__(self) -> int:
        return len(self._classes)

    def highest_priority(self, key: Hashable) -> int | None:
        """At which one of the class waits; None: nobody does."""
        found = self._classes.get(key)
        return None if found is None else max(found.lines)

    def add(self, ticket: Ticket, full: Sequence[Endpoint] | None) -> None:
        """`full` is where one of a new class was just seen to find no room; None: it is unknown."""
        found = self._classes.get(ticket.fit_key)
        if found is not None:
            found.add(ticket)
            return
        found = self._classes[ticket.fit_key] = FitClass(ticket.fit_key)
        found.add(ticket)
        self._put(found, full)

    def discard(self, ticket: Ticket) -> None:
        """One that waits."""
        found = self._classes[ticket.fit_key]
        found.discard(ticket)
        if not found.lines:
            del self._classes[ticket.fit_key]
            self._take_out(found)

    def forget_what_failed(self) -> None:
        """Anybody may fit anywhere now. O(n)."""
        self._untried.take_over(self._groups.values())
        self._groups.clear()
        self._failed.clear()

    def begin_search(self, anyway: int) -> None:
        """All groups are looked at again, and so many of those that failed the longest ago tried.

        For where a class fits may change with more than room: with a filter that looks at loads,
        or with what a plugin remembers.
        """
        self._search += 1
        for _ in range(min(anyway, len(self._failed))):
            oldest = next(iter(self._failed))
            self._take_out(oldest)
            self._put(oldest, None)

    def search(
        self,
        looks: int,
        pool: Sequence[Endpoint],
        has_room: Callable[[Sequence[Endpoint]], bool],
    ) -> Search:
        """Goes on with the search that was begun. `looks` at endpoints are what it may cost."""
        groups = list(self._groups.values())
        if len(groups) > FEW_GROUPS:
            roomy = {endpoint for endpoint in pool if has_room((endpoint,))}
            groups = [g for g in groups if not roomy.isdisjoint(g.endpoints or ())] if roomy else []
        return Search([self._untried, *groups], self._search, looks, has_room)

    def failed(self, fit_class: FitClass, full: Sequence[Endpoint]) -> None:
        """Its head was tried, and found no room on any of these, where it fits."""
        self._take_out(fit_class)
        self._put(fit_class, full).closed_at = self._search

    def _put(self, fit_class: FitClass, full: Sequence[Endpoint] | None) -> Group:
        if full is None:
            group = self._untried
        else:
            endpoints = tuple(full)
            found = self._groups.get(endpoints)
            group = self._groups[endpoints] = found if found is not None else Group(endpoints)
            self._failed[fit_class] = None
        group.add(fit_class)
        return group

    def _take_out(self, fit_class: FitClass) -> None:
        group = fit_class.group
        assert group is not None
        group.discard(fit_class)
        self._failed.pop(fit_class, None)
        if not group.size and group.endpoints is not None:
            del self._groups[group.endpoints]


class Search:
    """Those who may find room, in order: the heads of the classes that are not known to fail."""

    def __init__(
        self,
        groups: Iterable[Group],
        number: int,
        looks: int,
        has_room: Callable[[Sequence[Endpoint]], bool],
    ) -> None:
        self.looks = looks  # it ends where there are none left
        self._number = number
        self._has_room = has_room
        self._current: Group | None = None
        self._heads: list[tuple[Precedence, int, Group]] = []
        self._entries = count()
        for group in groups:
            self._enter(group)

    def __bool__(self) -> bool:
        """Whether there may be more to find."""
        return bool(self._heads) or self._current is not None

    def next(self) -> FitClass | None:
        """Its head is served or has failed when this is called again."""
        if self._current is not None:
            self._enter(self._current)
            self._current = None
        while self._heads and self.looks > 0:
            known, _, group = heapq.heappop(self._heads)
            first = group.first()
            if first is None or first.known != known:  # another flow had its turn since
                self._enter(group)
                continue
            if group.endpoints is not None:
                self.looks -= LOOK + len(group.endpoints)
                if not self._has_room(group.endpoints):
                    group.closed_at = self._number
                    continue
            self._current = group
            return first
        return None

    def _enter(self, group: Group) -> None:
        if group.closed_at != self._number and (first := group.first()) is not None:
            heapq.heappush(self._heads, (first.known, next(self._entries), group))
