from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from epp.simulation.fleet.kv_cache import Holding, KvCache
from epp.simulation.fleet.segments import Segment, block_chain

BLOCK = 4


def hold(cache: KvCache, *segments: Segment) -> Holding | None:
    """A prompt from the lookup to all of it computed; None if it does not fit."""
    tokens = sum(segment.tokens for segment in segments)
    found = cache.lookup(block_chain(segments, BLOCK), (tokens - 1) // BLOCK)
    if not cache.begin(found, -(-tokens // BLOCK) - found.stored):
        return None
    cache.store(found, tokens // BLOCK)
    return found


def cached(cache: KvCache, *segments: Segment) -> int:
    tokens = sum(segment.tokens for segment in segments)
    return cache.lookup(block_chain(segments, BLOCK), (tokens - 1) // BLOCK).stored


def test_what_was_computed_is_found_but_the_last_token_is_always_left() -> None:
    cache = KvCache(100)
    first = hold(cache, Segment(1, 40))
    assert first is not None
    cache.release(first)
    assert cached(cache, Segment(1, 40)) == 9
    assert cached(cache, Segment(1, 40), Segment(2, 1)) == 10
    assert cached(cache, Segment(2, 40)) == 0


def test_two_live_requests_share_the_blocks_of_their_prefix() -> None:
    cache = KvCache(100)
    for key in (2, 3):
        assert hold(cache, Segment(1, 40), Segment(key, 8)) is not None
    assert cache.held == 10 + 2 + 2


def test_tails_give_way_before_heads() -> None:
    cache = KvCache(12)
    first = hold(cache, Segment(1, 20), Segment(2, 20))
    assert first is not None
    cache.release(first)
    assert hold(cache, Segment(3, 28)) is not None  # seven blocks, two of which were never used
    assert cached(cache, Segment(1, 20), Segment(2, 20)) == 5


def test_what_does_not_fit_changes_nothing() -> None:
    cache = KvCache(10)
    assert hold(cache, Segment(1, 32)) is not None
    assert hold(cache, Segment(2, 12)) is None
    assert (cache.held, cache.free) == (8, 2)


def test_clear_forgets_what_nobody_holds() -> None:
    cache = KvCache(100)
    kept, left = hold(cache, Segment(1, 40)), hold(cache, Segment(2, 40))
    assert kept is not None
    assert left is not None
    cache.release(left)
    cache.clear()
    more = Segment(9, 1)
    assert cached(cache, Segment(1, 40), more) == 10
    assert cached(cache, Segment(2, 40), more) == 0
    cache.release(kept)
    assert (cache.free, cache.blocks_in_free_list()) == (100, 100)


Prompts = st.lists(
    st.tuples(
        st.lists(st.builds(Segment, st.integers(1, 3), st.integers(1, 12)), min_size=1, max_size=4),
        st.booleans(),  # the oldest of those that live ends first
        st.booleans(),  # what nobody holds is lost first
    ),
    max_size=40,
)


@settings(deadline=None)
@given(prompts=Prompts, capacity=st.integers(10, 40))
def test_blocks_are_held_or_free_and_never_both(
    prompts: Sequence[tuple[list[Segment], bool, bool]], capacity: int
) -> None:
    cache, live = KvCache(capacity), list[Holding]()
    for segments, ends, lost in prompts:
        if ends and live:
            cache.release(live.pop(0))
        if lost:
            cache.clear()
        found = hold(cache, *segments)
        if found is not None:
            live.append(found)
        assert 0 <= cache.held <= capacity
        assert cache.blocks_in_free_list() == cache.free
    for holding in live:
        cache.release(holding)
    assert (cache.held, cache.blocks_in_free_list()) == (0, capacity)
