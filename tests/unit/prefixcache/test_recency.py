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
    assert recent.touch([1, 2, 3]) == [1, 2, 3]
    assert recent.drop_oldest(1) == [1]
    assert recent.touch([2, 4]) == [4]
    assert recent.drop_oldest(9) == [3, 2, 4]
    assert recent.drop_oldest(1) == []


@given(STEPS)
def test_it_agrees_with_an_ordered_dict(steps: list[tuple[str, list[int]]]) -> None:
    recent = RecentBlocks()
    model: OrderedDict[int, None] = OrderedDict()
    for kind, blocks in steps:
        if kind == "touch":
            new = [b for n, b in enumerate(blocks) if b not in model and b not in blocks[:n]]
            assert recent.touch(blocks) == new
            for block in blocks:
                model[block] = None
                model.move_to_end(block)
        elif kind == "discard":
            held = [b for n, b in enumerate(blocks) if b in model and b not in blocks[:n]]
            assert recent.discard(blocks) == held
            for block in held:
                del model[block]
        else:
            oldest = list(model)[: len(blocks)]
            assert recent.drop_oldest(len(blocks)) == oldest
            for block in oldest:
                del model[block]
        assert len(recent) == len(model)
    assert recent.drop_oldest(99) == list(model)
