"""A set of blocks in order of last use, made for a loop that must not stall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class RecentBlocks:
    """Two dictionaries of blocks to their sizes, which the garbage collector passes over.

    It walks every node of an OrderedDict, and a plain dictionary is slow to say which key is its
    first. So the older half is kept in reverse, where the least recent is the last.
    """

    __slots__ = ("_newer", "_older", "size")

    def __init__(self) -> None:
        self.size = 0  # of all blocks together
        self._newer: dict[int, int] = {}  # least recent first, all more recent than the older
        self._older: dict[int, int] = {}  # least recent last

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def touch(self, blocks: Sequence[Any], sizes: Sequence[Any]) -> list[int]:
        """Make them the most recent, the last of them most of all. Returns those that are new.

        A block always comes with the same size. Both are integers, which compiled code would unpack
        and pack again at each use if they were called so.
        """
        newer, older = self._newer, self._older
        fresh: list[int] = []
        for block, size in zip(blocks, sizes):  # noqa: B905 - compiled only in this form
            if block in newer:
                del newer[block]
            elif block in older:
                del older[block]
            else:
                fresh.append(block)
                self.size += size
            newer[block] = size
        return fresh

    def drop_oldest(self, size: int, most: int) -> list[int]:
        """The least recent first, until so much is gone or so many blocks are."""
        dropped: list[int] = []
        target = max(0, self.size - size)
        while self.size > target and len(dropped) < most:
            if not self._older:
                self._older = dict(reversed(self._newer.items()))
                self._newer = {}
            block, freed = self._older.popitem()
            self.size -= freed
            dropped.append(block)
        return dropped

    def discard(self, blocks: Sequence[int]) -> list[int]:
        """Returns those that were in the set."""
        found: list[int] = []
        for block in blocks:
            half = self._newer if block in self._newer else self._older
            if block in half:
                self.size -= half.pop(block)
                found.append(block)
        return found
