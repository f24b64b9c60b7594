"""A prompt as segments: texts that are equal wherever their keys are equal.

So a system prompt of 6000 tokens is one key and one number, whatever the size of a KV block is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Chain = tuple[tuple[int, int], ...]  # runs of (key, full KV blocks)


@dataclass(frozen=True, slots=True)
class Segment:
    """`key` stands for the text; it is below 2**63 and not 0."""

    key: int
    tokens: int
    image: bool = False  # has to be encoded before its tokens can be computed


def block_chain(segments: Sequence[Segment], block_tokens: int) -> Chain:
    """The full blocks of a text; equal chains mean equal text from the start on.

    A block belongs to the segment in which it ends. Where a segment ends with a block, that block
    is a run of its own: the last token of a prompt is always computed, so a prompt that ends there
    shares everything but this block.
    """
    chain: list[tuple[int, int]] = []
    end = done = 0  # tokens, blocks
    carried = 0  # keys of segments that end inside of the present block
    for segment in segments:
        end += segment.tokens
        key = segment.key if not carried else hash((carried, segment.key))
        full, rest = divmod(end, block_tokens)
        if full == done:
            carried = key
            continue
        carried = 0 if not rest else segment.key
        if rest:
            chain.append((key, full - done))
        else:
            if full - done > 1:
                chain.append((key, full - done - 1))
            chain.append((hash((key, -1)), 1))
        done = full
    return tuple(chain)
