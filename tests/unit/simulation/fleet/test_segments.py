from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from epp.simulation.fleet.segments import Segment, block_chain

TEXTS = (Segment(1, 1), Segment(2, 7), Segment(3, 16), Segment(4, 37), Segment(5, 90))
Text = st.lists(st.sampled_from(TEXTS), max_size=8)
Blocks = st.integers(1, 16)


def keys_by_block(text: list[Segment], block_tokens: int) -> list[tuple[int, ...]]:
    """For every full block, what stands in it: the keys of all tokens up to its end."""
    tokens = [segment.key for segment in text for _ in range(segment.tokens)]
    starts = [n == 0 for segment in text for n in range(segment.tokens)]
    return [
        tuple(-key if first else key for key, first in zip(tokens[:end], starts[:end], strict=True))
        for end in range(block_tokens, len(tokens) + 1, block_tokens)
    ]


def unrolled(text: list[Segment], block_tokens: int) -> list[tuple[tuple[int, int], ...]]:
    """For every full block, the chain up to its end."""
    found = []
    done: tuple[tuple[int, int], ...] = ()
    for key, blocks in block_chain(text, block_tokens):
        found += [(*done, (key, n)) for n in range(1, blocks + 1)]
        done = (*done, (key, blocks))
    return found


@given(Text, Blocks)
def test_a_chain_has_every_full_block_once(text: list[Segment], block_tokens: int) -> None:
    tokens = sum(segment.tokens for segment in text)
    chain = block_chain(text, block_tokens)
    assert sum(blocks for _, blocks in chain) == tokens // block_tokens
    assert all(blocks > 0 for _, blocks in chain)


@given(Text, Text, Blocks)
def test_where_texts_differ_their_chains_do(
    one: list[Segment], other: list[Segment], block_tokens: int
) -> None:
    here, there = keys_by_block(one, block_tokens), keys_by_block(other, block_tokens)
    ours, theirs = unrolled(one, block_tokens), unrolled(other, block_tokens)
    for n in range(min(len(here), len(there))):
        if here[n] != there[n]:
            assert ours[n] != theirs[n]


@given(Text, Text, Text, Blocks)
def test_a_shared_beginning_of_whole_segments_is_a_shared_beginning_of_chains(
    shared: list[Segment], one: list[Segment], other: list[Segment], block_tokens: int
) -> None:
    blocks = sum(segment.tokens for segment in shared) // block_tokens
    ours = unrolled([*shared, *one], block_tokens)
    theirs = unrolled([*shared, *other], block_tokens)
    assert ours[:blocks] == theirs[:blocks]


def test_a_segment_that_ends_with_a_block_keeps_that_block_apart() -> None:
    long = block_chain([Segment(1, 64)], 16)
    assert [blocks for _, blocks in long] == [3, 1]
    assert [blocks for _, blocks in block_chain([Segment(1, 70)], 16)] == [4]


def test_segments_smaller_than_a_block_count_in_the_block_in_which_they_end() -> None:
    one = block_chain([Segment(1, 5), Segment(2, 5), Segment(3, 20)], 16)
    other = block_chain([Segment(1, 5), Segment(9, 5), Segment(3, 20)], 16)
    assert [blocks for _, blocks in one] == [1]
    assert one != other
