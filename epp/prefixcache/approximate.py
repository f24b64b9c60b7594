"""The approximate index: what we sent where, aged as the server's own cache ages.

Only a contiguous prefix counts, because only that can be reused; the Go picker also counts blocks
after a gap. Memory is bounded by one LRU a server, of the size of the server's cache.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.prefixcache.answers import AnsweredPrompts, Continued
from epp.prefixcache.blocks import BYTES_PER_TOKEN, sizes_from_last, tokens_in
from epp.prefixcache.recency import RecentBlocks
from epp.prefixcache.settings import PrefixCacheSettings

# What one `add` drops at most beyond as many blocks as it brings. So a cache that left or shrank
# never stalls the loop, and what waits to be dropped cannot pile up.
DROPPED_PER_ADD: Final = 512

MOST_CONTINUED: Final = 4096  # prompts between the time that they are recognized and added

# One dictionary of millions of blocks takes most of a second to grow. Of thousands of small ones
# each grows at another time.
SHARDS: Final = 1 << 12


@dataclass(slots=True, eq=False)
class _Cache:
    bit: int  # a power of two, its own in the masks of holders
    blocks: RecentBlocks = field(default_factory=RecentBlocks)
    rest: int = 0  # tokens of answers that are not a block yet


class ApproximateIndex:
    """The holders of a block are one integer with a bit for each server.

    Where a thousand servers share a long prompt, sets take thirty times as long to intersect.
    """

    def __init__(self, settings: PrefixCacheSettings) -> None:
        self._follow(settings)
        # Block to mask, leaving caches included; sharded by the low bits of the block.
        self._holders: tuple[dict[int, int], ...] = tuple({} for _ in range(SHARDS))
        self._caches: dict[Endpoint, _Cache] = {}
        self._at: list[Endpoint] = []  # by position of the bit
        self._free: list[int] = []  # positions that no holder has
        self._live = 0  # mask of the caches that count
        self._leaving: deque[_Cache] = deque()
        self._answers = AnsweredPrompts()
        self._continued: OrderedDict[int, Continued] = OrderedDict()  # by last block of the prompt
        self._nameless = 0  # the last block without a hash; those are negative

    def reconfigure(self, settings: PrefixCacheSettings) -> bool:
        """Whether the index starts anew, because blocks of another size never match.

        Later adds free the memory of what it knew, and shrink what is over a smaller capacity.
        """
        anew = settings.block_tokens != self._block_tokens
        if anew:
            for endpoint in list(self._caches):
                self.forget(endpoint)
            self._answers.clear()
            self._continued.clear()
        self._follow(settings)
        return anew

    def _follow(self, settings: PrefixCacheSettings) -> None:
        self._settings = settings
        self._block_tokens, most = settings.block_tokens, settings.max_tokens
        self._most_bytes = math.inf if most is None else float(most * BYTES_PER_TOKEN)

    def __len__(self) -> int:
        """Blocks credited, summed over the endpoints; an answer is one."""
        return sum(len(cache.blocks) for cache in self._caches.values())

    def tokens_of(self, endpoint: Endpoint) -> int:
        """Tokens credited to an endpoint, those of answers included."""
        cache = self._caches.get(endpoint)
        return cache.blocks.size * self._block_tokens if cache is not None else 0

    def match(
        self, blocks: Sequence[int], endpoints: Sequence[Endpoint], token_ratio: float = 1.0
    ) -> dict[Endpoint, int]:
        """Cached tokens from the first on, by endpoint; endpoints without any are left out.

        The last block counts whole, even if the prompt ends in it. `token_ratio` is how many
        tokens four bytes are.
        """
        found: dict[Endpoint, int] = {}
        alive = self._live & self._holders_of(blocks[0]) if blocks else 0
        asked = set(endpoints) if alive else set()
        depth = 0  # all in `alive` have the blocks up to here, and the one after them
        while alive:
            depth = self._depth(blocks, depth, alive)
            still = alive & self._holders_of(blocks[depth]) if depth < len(blocks) else 0
            if left := alive ^ still:
                tokens = int(tokens_in(depth, self._block_tokens) * token_ratio)
                self._tell(found, left, asked, tokens)
            alive = still
        if found and (goes_on := self._continued.get(blocks[-1])) is not None:
            self._tell_answer(found, goes_on, token_ratio)
        return found

    def _tell_answer(
        self, found: dict[Endpoint, int], goes_on: Continued, token_ratio: float
    ) -> None:
        """The server that has the old prompt has what it said to it."""
        cached = found.get(goes_on.endpoint, 0)
        known = int(tokens_in(goes_on.known_blocks, self._block_tokens) * token_ratio)
        if cached and cached >= known:
            answered = int(tokens_in(goes_on.blocks, self._block_tokens) * token_ratio)
            found[goes_on.endpoint] = max(cached, answered)

    def _holders_of(self, block: int) -> int:
        return self._holders[block % SHARDS].get(block, 0)

    def _depth(self, blocks: Sequence[int], known: int, alive: int) -> int:
        """How many blocks all in the mask have, searched by halves.

        A cache loses the tail of a chain before its prefix, so who has a block has those before.
        """
        low, high = known + 1, len(blocks)  # they have `low` blocks, and at most `high`
        probe = high  # first: most prompts are known whole or not at all
        while low < high:
            if alive & self._holders_of(blocks[probe - 1]) == alive:
                low = probe
            else:
                high = probe - 1
            probe = (low + high + 1) // 2
        return low

    def add(self, endpoint: Endpoint, blocks: Sequence[int]) -> Sequence[int]:
        """Credit an endpoint with a prompt. Returns the blocks that are new there.

        Touched from the last to the first, so that the tail is forgotten before its prefix.
        """
        cache = self._caches.get(endpoint) or self._enter(endpoint)
        goes_on = self._continued.pop(blocks[-1], None) if blocks else None
        if goes_on is not None and goes_on.endpoint is endpoint:
            self._release(cache.blocks.discard(goes_on.replaced), cache.bit)
        fresh = cache.blocks.touch(blocks[::-1], sizes_from_last(len(blocks)))
        bit, shards = cache.bit, self._holders
        for block in fresh:
            shard = shards[block % SHARDS]
            known = shard.get(block)
            shard[block] = bit if known is None else known | bit
        budget = len(blocks) + DROPPED_PER_ADD
        excess = cache.blocks.size - self._capacity(endpoint)
        if excess > 0:
            self._release(cache.blocks.drop_oldest(excess, budget), bit)
        self._sweep(budget)
        return fresh

    def answered(self, facts: RequestFacts, endpoint: Endpoint, tokens: int | None) -> None:
        """With success; its server has the answer cached beside the prompt.

        `tokens` are those of the answer; None if they may be `reported` later.
        """
        answer = 0 if tokens is None else self._age(endpoint, tokens)
        if facts.prefix_blocks and facts.prefix_bytes <= self._most_bytes:
            self._answers.answered(facts, endpoint, tokens, answer, self._block_tokens)

    def reported(self, request_id: str, endpoint: Endpoint, tokens: int) -> None:
        """How long an answer was that has ended before."""
        self._answers.reported(request_id, tokens, self._age(endpoint, tokens))

    def recognize(self, blocks: Sequence[int], prompt: bytes) -> None:
        """A prompt that will be looked up, and maybe added.

        Where it goes on from one that was answered, `match` counts the answer, too, on the server
        that gave it, if that one still has the old prompt.
        """
        found = self._answers.continued(blocks, prompt, self._block_tokens)
        if found is not None:
            self._continued[blocks[-1]] = found
            if len(self._continued) > MOST_CONTINUED:
                self._continued.popitem(last=False)

    def remove(self, endpoint: Endpoint, blocks: Sequence[int]) -> None:
        """Take credit back. Blocks that are not credited are passed over.

        A longer chain that was credited meanwhile keeps its tail, and counts until it is forgotten.
        """
        cache = self._caches.get(endpoint)
        if cache is not None:
            self._release(cache.blocks.discard(blocks), cache.bit)

    def forget(self, endpoint: Endpoint) -> None:
        """The endpoint left the pool, or its server restarted. Later adds free the memory."""
        cache = self._caches.pop(endpoint, None)
        if cache is not None:
            self._live ^= cache.bit
            self._leaving.append(cache)

    def _enter(self, endpoint: Endpoint) -> _Cache:
        if self._free:
            position = self._free.pop()
            self._at[position] = endpoint
        else:
            position = len(self._at)
            self._at.append(endpoint)
        cache = self._caches[endpoint] = _Cache(1 << position)
        self._live |= cache.bit
        return cache

    def _age(self, endpoint: Endpoint, tokens: int) -> int:
        """An answer filled as much of the server's cache: what is least recent there is gone.

        No prompt has these tokens so far, so they are a block without a hash, which is returned; 0
        if none was needed. A server without any prompt has nothing to lose.
        """
        cache = self._caches.get(endpoint)
        if cache is None or tokens <= 0:
            return 0
        size, cache.rest = divmod(cache.rest + tokens, self._block_tokens)
        if not size:
            return 0
        self._nameless -= 1
        cache.blocks.touch((self._nameless,), (size,))
        excess = cache.blocks.size - self._capacity(endpoint)
        if excess > 0:
            self._release(cache.blocks.drop_oldest(excess, DROPPED_PER_ADD), cache.bit)
        return self._nameless

    def _capacity(self, endpoint: Endpoint) -> int:
        """The server's cache in units of our first block; it reports its own, smaller ones."""
        metrics = endpoint.metrics
        if self._settings.auto_tune and metrics.num_blocks and metrics.block_size_tokens:
            tokens = metrics.num_blocks * metrics.block_size_tokens
            return max(1, tokens // self._block_tokens)
        return self._settings.lru_capacity_per_server

    def _sweep(self, budget: int) -> None:
        """Go on with dropping what leaving caches hold. A bit is used again when nothing has it."""
        while self._leaving and budget > 0:
            cache = self._leaving[0]
            dropped = cache.blocks.drop_oldest(cache.blocks.size, budget)
            self._release(dropped, cache.bit)
            budget -= len(dropped)
            if not cache.blocks:
                self._leaving.popleft()
                self._free.append(cache.bit.bit_length() - 1)

    def _release(self, blocks: Iterable[int], bit: int) -> None:
        shards = self._holders
        for block in blocks:
            if block < 0:
                continue  # of an answer: nobody is asked for it
            shard = shards[block % SHARDS]
            left = shard[block] ^ bit
            if left:
                shard[block] = left
            else:
                del shard[block]

    def _tell(
        self, found: dict[Endpoint, int], mask: int, asked: set[Endpoint], tokens: int
    ) -> None:
        """Those in the mask have so many tokens."""
        while mask:
            position = mask.bit_length() - 1
            mask ^= 1 << position
            if (endpoint := self._at[position]) in asked:
                found[endpoint] = tokens
