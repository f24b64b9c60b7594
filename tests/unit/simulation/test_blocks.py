from hypothesis import given
from hypothesis import strategies as st

from epp.simulation.blocks import BlockPool


def test_a_cached_chain_ends_at_its_first_gap() -> None:
    pool = BlockPool(4)
    blocks = pool.take((), 3)
    assert blocks is not None
    pool.store(blocks[0], 10)
    pool.store(blocks[2], 12)
    assert pool.cached_prefix([10, 11, 12], limit=3) == [blocks[0]]


def test_the_limit_cuts_a_chain() -> None:
    pool = BlockPool(2)
    blocks = pool.take((), 2)
    assert blocks is not None
    for block, block_hash in zip(blocks, (10, 11), strict=True):
        pool.store(block, block_hash)
    assert pool.cached_prefix([10, 11], limit=1) == blocks[:1]


def test_eviction_takes_the_tail_of_the_oldest_released_first() -> None:
    pool = BlockPool(4)
    first, second = pool.take((), 2), pool.take((), 2)
    assert first is not None
    assert second is not None
    for block, block_hash in zip((*first, *second), (10, 11, 20, 21), strict=True):
        pool.store(block, block_hash)
    pool.release(first)
    pool.release(second)
    assert pool.take((), 1) == [first[1]]
    assert pool.cached_prefix([10, 11], limit=2) == [first[0]]
    assert pool.cached_prefix([20, 21], limit=2) == second


def test_without_room_nothing_changes() -> None:
    pool = BlockPool(3)
    held = pool.take((), 1)
    assert held is not None
    pool.store(held[0], 10)
    pool.release(held)
    assert pool.take(held, 3) is None
    assert pool.free == 3
    assert pool.take(held, 2) is not None
    assert pool.free == 0


Actions = st.lists(
    st.tuples(st.booleans(), st.lists(st.integers(0, 5), max_size=4), st.integers(0, 4)),
    max_size=40,
)


@given(capacity=st.integers(1, 12), actions=Actions)
def test_held_and_free_blocks_add_up(
    capacity: int, actions: list[tuple[bool, list[int], int]]
) -> None:
    pool = BlockPool(capacity)
    held: list[list[int]] = []
    for give_back, hashes, fresh in actions:
        if give_back and held:
            pool.release(held.pop(0))
        else:
            cached = pool.cached_prefix(list(dict.fromkeys(hashes)), limit=4)
            blocks = pool.take(cached, fresh)
            if blocks is not None:
                for block, block_hash in zip(blocks, dict.fromkeys(hashes), strict=False):
                    pool.store(block, block_hash)
                held.append(blocks)
        in_use = {block for blocks in held for block in blocks}
        assert len(in_use) + pool.free == capacity
        assert pool.usage == 1.0 - pool.free / capacity
    for blocks in held:
        pool.release(blocks)
    assert pool.usage == 0.0
