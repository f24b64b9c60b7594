from __future__ import annotations

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from epp.prefixcache.recency import RecentBlocks

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["touch", "discard", "drop"]), st.lists(st.integers(0, 9), max_size=6)
    ),
    max_size=40,
)


def test_the_least_recent_are_dropped_first() -> None:
    recent = RecentBlocks()
    assert recent.touch([1, 2, 3], [1, 1, 1]) == [1, 2, 3]
    assert recent.drop_oldest(1, 9) == [1]
    assert recent.touch([2, 4], [1, 1]) == [4]
    assert recent.drop_oldest(9, 9) == [3, 2, 4]
    assert recent.drop_oldest(1, 9) == []


def test_a_large_block_makes_as_much_room_as_many_small_ones() -> None:
    recent = RecentBlocks()
    recent.touch([1, 2, 3, 4], [4, 1, 1, 8])
    assert recent.size == 14
    assert recent.drop_oldest(3, 9) == [1]
    assert (recent.size, len(recent)) == (10, 3)
    assert recent.drop_oldest(3, 2) == [2, 3]
    assert recent.discard([4, 4]) == [4]
    assert (recent.size, len(recent)) == (0, 0)


def size_of(block: int) -> int:
    return 1 + block % 3


@given(STEPS)
def test_it_agrees_with_an_ordered_dict(steps: list[tuple[str, list[int]]]) -> None:
    recent = RecentBlocks()
    model: OrderedDict[int, None] = OrderedDict()
    for kind, blocks in steps:
        if kind == "touch":
            new = [b for n, b in enumerate(blocks) if b not in model and b not in blocks[:n]]
            assert recent.touch(blocks, [size_of(block) for block in blocks]) == new
            for block in blocks:
                model[block] = None
                model.move_to_end(block)
        elif kind == "discard":
            held = [b for n, b in enumerate(blocks) if b in model and b not in blocks[:n]]
            assert recent.discard(blocks) == held
            for block in held:
                del model[block]
        else:
            oldest: list[int] = []
            for block in model:
                if sum(map(size_of, oldest)) >= len(blocks):
                    break
                oldest.append(block)
            assert recent.drop_oldest(len(blocks), 99) == oldest
            for block in oldest:
                del model[block]
        assert (len(recent), recent.size) == (len(model), sum(map(size_of, model)))
    assert recent.drop_oldest(999, 99) == list(model)
