"""The approximate index: what we sent where, aged as the server's own cache ages.

Only a contiguous prefix counts, because only that can be reused. Memory is bounded by one LRU a
server, of the size of the server's cache.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from epp.core.endpoint import Endpoint
from epp.prefixcache.settings import PrefixCacheSettings

# One owner is the common case, and a set of one takes ten times the memory.
Owners = Endpoint | set[Endpoint]


class ApproximateIndex:
    def __init__(self, settings: PrefixCacheSettings) -> None:
        self._settings = settings
        self._owners: dict[int, Owners] = {}
        self._caches: dict[Endpoint, OrderedDict[int, None]] = {}

    def __len__(self) -> int:
        """Blocks known, summed over the endpoints."""
        return sum(len(cache) for cache in self._caches.values())

    def size_of(self, endpoint: Endpoint) -> int:
        cache = self._caches.get(endpoint)
        return len(cache) if cache is not None else 0

    def match(self, blocks: Sequence[int], endpoints: Sequence[Endpoint]) -> Mapping[Endpoint, int]:
        """Cached blocks from the first on, by endpoint; endpoints without any are left out."""
        found: dict[Endpoint, int] = {}
        alive: set[Endpoint] | None = None
        owners_of = self._owners.get
        previous: Owners | None = None
        for depth, block in enumerate(blocks):
            owners = owners_of(block)
            if owners is None:
                return self._close(found, alive, depth)
            if owners is previous:
                continue
            previous = owners
            holding = owners if isinstance(owners, set) else {owners}
            if alive is None:
                alive = holding.intersection(endpoints)
            elif not alive <= holding:
                for lost in alive - holding:
                    found[lost] = depth
                alive &= holding
            if not alive:
                return found
        return self._close(found, alive, len(blocks))

    def add(self, endpoint: Endpoint, blocks: Sequence[int]) -> Sequence[int]:
        """Credit an endpoint with a prompt. Returns the blocks that are new there.

        Touched from the last to the first, so that the tail is forgotten before its prefix.
        """
        cache = self._caches.get(endpoint)
        if cache is None:
            cache = self._caches[endpoint] = OrderedDict()
        fresh: list[int] = []
        for block in reversed(blocks):
            if block in cache:
                cache.move_to_end(block)
            else:
                cache[block] = None
                fresh.append(block)
                self._own(block, endpoint)
        excess = len(cache) - self._capacity(endpoint)
        for _ in range(excess):
            block, _none = cache.popitem(last=False)
            self._disown(block, endpoint)
        return fresh

    def remove(self, endpoint: Endpoint, blocks: Sequence[int]) -> None:
        """Take credit back. Blocks that are not credited are passed over."""
        cache = self._caches.get(endpoint)
        if cache is None:
            return
        for block in blocks:
            if block in cache:
                del cache[block]
                self._disown(block, endpoint)

    def forget(self, endpoint: Endpoint) -> None:
        """The endpoint left the pool, or its server restarted."""
        for block in self._caches.pop(endpoint, ()):
            self._disown(block, endpoint)

    def _capacity(self, endpoint: Endpoint) -> int:
        """The server's cache in our blocks: it reports its own, which are smaller."""
        metrics = endpoint.metrics
        if self._settings.auto_tune and metrics.num_blocks and metrics.block_size_tokens:
            tokens = metrics.num_blocks * metrics.block_size_tokens
            return max(1, tokens // self._settings.block_tokens)
        return self._settings.lru_capacity_per_server

    def _own(self, block: int, endpoint: Endpoint) -> None:
        owners = self._owners.get(block)
        if owners is None:
            self._owners[block] = endpoint
        elif isinstance(owners, set):
            owners.add(endpoint)
        else:
            self._owners[block] = {owners, endpoint}

    def _disown(self, block: int, endpoint: Endpoint) -> None:
        owners = self._owners[block]
        if isinstance(owners, set):
            owners.discard(endpoint)
            if len(owners) == 1:
                self._owners[block] = owners.pop()
        else:
            del self._owners[block]

    @staticmethod
    def _close(
        found: dict[Endpoint, int], alive: set[Endpoint] | None, depth: int
    ) -> dict[Endpoint, int]:
        for endpoint in alive or ():
            found[endpoint] = depth
        return found
