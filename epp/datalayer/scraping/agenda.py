"""What is due when. Every item has at most one date; a later `put` replaces it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Agenda(Generic[T]):
    """A heap whose outdated entries are dropped when they come to the top."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._entries: dict[T, int] = {}  # the number of the entry that counts
        self._number = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, item: T, when: float) -> None:
        self._number += 1
        self._entries[item] = self._number
        heapq.heappush(self._heap, (when, self._number, item))

    def drop(self, item: T) -> None:
        self._entries.pop(item, None)

    def next(self) -> float:
        """When the first item is due; infinite if there is none."""
        self._tidy()
        return self._heap[0][0] if self._heap else math.inf

    def take_due(self, now: float, limit: int) -> list[T]:
        """Remove and return what is due, earliest first."""
        items: list[T] = []
        while len(items) < limit and self.next() <= now:
            item = heapq.heappop(self._heap)[2]
            del self._entries[item]
            items.append(item)
        return items

    def _tidy(self) -> None:
        heap, entries = self._heap, self._entries
        while heap and entries.get(heap[0][2]) != heap[0][1]:
            heapq.heappop(heap)
