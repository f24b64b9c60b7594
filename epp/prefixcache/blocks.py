"""A prompt as a chain of block hashes: equal chains mean equal prefixes.

The first blocks are small, and after every `GROUP` of them they are twice as large. So a long
prompt has a few hundred blocks instead of thousands, and none is more than a 32nd of what stands
before it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from xxhash import xxh3_64_intdigest, xxh64_intdigest

BYTES_PER_TOKEN: Final = 4
GROUP: Final = 64  # blocks of one size


def hash_chain(
    model: str, salt: str, prompt: bytes, block_tokens: int, max_tokens: int | None
) -> tuple[int, ...]:
    """Hashes of the blocks, of which the first has `block_tokens` tokens and the last may be cut.

    The first link is made of model and salt, so that neither shares a prefix with another. Each
    hash stands for its block and all before it. Nothing after `max_tokens` is looked at.
    """
    if not prompt:
        return ()
    size = block_tokens * BYTES_PER_TOKEN
    length = len(prompt) if max_tokens is None else min(len(prompt), max_tokens * BYTES_PER_TOKEN)
    if length < len(prompt):
        prompt = prompt[:length]
    # Not annotated as an int: compiled, that would be unpacked and packed again for every block.
    link: Any = xxh64_intdigest(f"{model}\0{salt}".encode("utf-8", "surrogatepass"))
    chain: list[int] = []
    start = 0
    while start < length:
        stop = start + GROUP * size
        for at in range(start, min(length, stop), size):
            link = xxh3_64_intdigest(prompt[at : at + size], link)  # cheaper than a view
            chain.append(link)
        start, size = stop, 2 * size
    return tuple(chain)


def tokens_in(blocks: int, block_tokens: int) -> int:
    """Tokens in the first so many blocks, if none of them is cut."""
    doublings, rest = divmod(blocks, GROUP)
    return block_tokens * (GROUP * ((1 << doublings) - 1) + (rest << doublings))


def whole_blocks(size_bytes: int, block_tokens: int) -> tuple[int, int]:
    """How many blocks of a text so long are not cut, and the bytes in them."""
    block = block_tokens * BYTES_PER_TOKEN
    blocks = start = 0
    while size_bytes - start >= GROUP * block:
        blocks, start, block = blocks + GROUP, start + GROUP * block, 2 * block
    rest = (size_bytes - start) // block
    return blocks + rest, start + rest * block


@lru_cache(maxsize=4096)
def sizes_from_last(blocks: int) -> tuple[int, ...]:
    """Of the first so many blocks in units of the first one, the last block first."""
    return tuple(1 << (n // GROUP) for n in reversed(range(blocks)))
