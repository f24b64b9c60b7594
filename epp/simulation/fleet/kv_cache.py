"""The KV cache of one engine by runs of blocks: what `BlockPool` does block by block, in one step.

It rests on one property: what is cached of a chain is always its head, because tails are freed
first and evicted first. So a run is known by the number of its leading blocks in the cache.
"""

from __future__ import annotations

from collections import OrderedDict

from epp.simulation.fleet.segments import Chain


class Run:
    """Some blocks after those of its parent. Without a parent: blocks that nobody can find."""

    __slots__ = ("cached", "children", "holders", "key", "parent")

    def __init__(self, parent: Run | None, key: int, cached: int, holders: int) -> None:
        self.parent = parent
        self.key = key
        self.cached = cached  # leading blocks of it that are in the cache
        self.holders = holders  # live requests that use them
        self.children: dict[int, Run] = {}


class Holding:
    """The blocks that one live request holds, in the order of its tokens."""

    __slots__ = ("at", "blocks", "chain", "index", "offset", "runs", "stored")

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.runs: list[Run] = []
        self.blocks = 0  # all; those beyond `stored` are not full yet or not in the chain
        self.stored = 0  # leading blocks that have become findable, or are copies of such
        self.index = 0  # in the chain: the run that comes next
        self.offset = 0  # blocks of it that are stored
        self.at: Run | None = None  # the run before it; None at the start


class KvCache:
    """Blocks held by live requests and blocks in the free list are together the capacity."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.held = 0
        self.releases = 0  # grows whenever blocks become free
        self._root = Run(None, 0, 0, 1)
        unused = Run(None, 0, capacity, 0)
        self._free: OrderedDict[Run, None] = OrderedDict({unused: None})  # least recent first

    @property
    def free(self) -> int:
        """Blocks without a live request, cached content or not."""
        return self.capacity - self.held

    def blocks_in_free_list(self) -> int:
        """For checks: always equal to `free`. O(runs)."""
        return sum(run.cached for run in self._free)

    def lookup(self, chain: Chain, limit: int) -> Holding:
        """What a request would find of its chain, at most `limit` blocks. Nothing is held yet."""
        found = Holding(chain)
        at = self._root
        for key, blocks in chain:
            child = at.children.get(key)
            if child is None or not child.cached or found.stored + child.cached > limit:
                break
            found.runs.append(child)
            found.stored += child.cached
            if child.cached < blocks:
                found.offset = child.cached
                break
            found.index += 1
            found.at = at = child
        found.blocks = found.stored
        return found

    def begin(self, found: Holding, count: int) -> bool:
        """Hold what was found and `count` fresh blocks; False, and no change, without room."""
        idle = 0
        for run in found.runs:
            if not run.holders:
                idle += run.cached
        if count + idle > self.capacity - self.held:
            return False
        for run in found.runs:
            if not run.holders:
                del self._free[run]
            run.holders += 1
        self.held += idle
        self.take(count)
        found.blocks += count
        return True

    def take(self, count: int) -> None:
        """Hold so many fresh blocks, the least recently used. There are as many: see `free`."""
        self.held += count
        while count > 0:
            oldest = next(iter(self._free))
            cached = oldest.cached
            if cached > count:
                oldest.cached = cached - count
                return
            oldest.cached = 0
            count -= cached
            del self._free[oldest]
            self._drop(oldest)

    def store(self, holding: Holding, full: int) -> None:
        """The first `full` blocks of a request are computed. The first copy of some text counts."""
        chain = holding.chain
        while holding.stored < full and holding.index < len(chain):
            key, blocks = chain[holding.index]
            start = holding.offset
            count = min(blocks - start, full - holding.stored)
            run = self._child(holding.at, key)
            runs = holding.runs
            if run.cached == start and (not start or runs[-1] is run):
                if not start:
                    run.holders += 1
                    runs.append(run)
                run.cached += count
            elif runs and runs[-1].parent is None:
                runs[-1].cached += count
            else:
                runs.append(Run(None, 0, count, 1))  # a copy of what others have stored
            holding.stored += count
            holding.offset += count
            if holding.offset == blocks:
                holding.at = run
                holding.index += 1
                holding.offset = 0

    def release(self, holding: Holding) -> None:
        """Let go of a request's blocks, tail first, so that heads of prefixes live longest."""
        private = holding.blocks - holding.stored
        if private:
            self._free[Run(None, 0, private, 0)] = None
            self.held -= private
        for run in reversed(holding.runs):
            run.holders -= 1
            if not run.holders:
                self._free[run] = None
                self.held -= run.cached
        self.releases += 1

    def clear(self) -> None:
        """Forget all that no live request holds."""
        free = self.free
        while self._free:
            run, _ = self._free.popitem()
            run.cached = 0
            self._drop(run)
        if free:
            self._free[Run(None, 0, free, 0)] = None

    def _child(self, parent: Run | None, key: int) -> Run:
        at = self._root if parent is None else self._attached(parent)
        run = at.children.get(key)
        if run is None:
            run = at.children[key] = Run(at, key, 0, 0)
        return run

    def _attached(self, run: Run) -> Run:
        """The run that can be found in the place of one, which may have been dropped."""
        parent = run.parent
        if parent is None:
            return run
        return self._attached(parent).children.setdefault(run.key, run)

    def _drop(self, run: Run) -> None:
        """Forget runs that hold nothing and lead nowhere."""
        at = run
        while not at.cached and not at.holders and not at.children:
            parent = at.parent
            if parent is None:
                return
            if parent.children.get(at.key) is at:
                del parent.children[at.key]
            at = parent
