"""A set of blocks in order of last use, made for a loop that must not stall."""

from __future__ import annotations

from collections.abc import Sequence


class RecentBlocks:
    """Two dictionaries of numbers to None, which the garbage collector passes over.

    It walks every node of an OrderedDict, and a plain dictionary is slow to say which key is its
    first. So the older half is kept in reverse, where the least recent is the last.
    """

    __slots__ = ("_newer", "_older")

    def __init__(self) -> None:
        self._newer: dict[int, None] = {}  # least recent first, all more recent than the older
        self._older: dict[int, None] = {}  # least recent last

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def touch(self, blocks: Sequence[int]) -> list[int]:
        """Make them the most recent, the last of them most of all. Returns those that are new."""
        newer, older = self._newer, self._older
        fresh: list[int] = []
        for block in blocks:
            if block in newer:
                del newer[block]
            elif block in older:
                del older[block]
            else:
                fresh.append(block)
            newer[block] = None
        return fresh

    def drop_oldest(self, number: int) -> list[int]:
        """At most so many, the least recent first."""
        dropped: list[int] = []
        for _ in range(min(number, len(self))):
            if not self._older:
                self._older = dict.fromkeys(reversed(self._newer))
                self._newer = {}
            dropped.append(self._older.popitem()[0])
        return dropped

    def discard(self, blocks: Sequence[int]) -> list[int]:
        """Returns those that were in the set."""
        found: list[int] = []
        for block in blocks:
            half = self._newer if block in self._newer else self._older
            if block in half:
                del half[block]
                found.append(block)
        return found
