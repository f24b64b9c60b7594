"""KV blocks of one engine: reference counts, a prefix cache, and a free list in LRU order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence


class BlockPool:
    """Blocks are numbered from 0. A free block keeps its content until it is taken anew."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.releases = 0  # grows whenever blocks become free
        self._references = [0] * capacity
        self._hash_of: list[int | None] = [None] * capacity
        self._block_of: dict[int, int] = {}
        self._free: OrderedDict[int, None] = OrderedDict.fromkeys(range(capacity))

    @property
    def free(self) -> int:
        """Blocks without a live request, cached content or not."""
        return len(self._free)

    @property
    def usage(self) -> float:
        """Share of blocks held by live requests: 0 when idle, however warm the cache."""
        return 1.0 - len(self._free) / self.capacity

    def cached_prefix(self, hashes: Sequence[int], limit: int) -> list[int]:
        """The blocks of the longest cached chain, at most `limit` of them."""
        found: list[int] = []
        block_of = self._block_of
        for block_hash in hashes[:limit]:
            block = block_of.get(block_hash)
            if block is None:
                break
            found.append(block)
        return found

    def take(self, cached: Sequence[int], count: int) -> list[int] | None:
        """Hold the `cached` blocks and `count` fresh ones; None, and no change, without room."""
        idle = sum(1 for block in cached if not self._references[block])
        if count + idle > len(self._free):
            return None
        for block in cached:
            if not self._references[block]:
                del self._free[block]
            self._references[block] += 1
        return [*cached, *(self._fresh() for _ in range(count))]

    def _fresh(self) -> int:
        block, _ = self._free.popitem(last=False)
        evicted = self._hash_of[block]
        if evicted is not None:
            del self._block_of[evicted]
            self._hash_of[block] = None
        self._references[block] = 1
        return block

    def store(self, block: int, block_hash: int) -> None:
        """Make a full block findable. The first block with some content stands for all copies."""
        if block_hash not in self._block_of:
            self._block_of[block_hash] = block
            self._hash_of[block] = block_hash

    def release(self, blocks: Sequence[int]) -> None:
        """Let go of one request's blocks, tail first, so that heads of prefixes live longest."""
        for block in reversed(blocks):
            self._references[block] -= 1
            if not self._references[block]:
                self._free[block] = None
        self.releases += 1
