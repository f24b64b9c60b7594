"""A prompt as a chain of block hashes: equal chains mean equal prefixes."""

from __future__ import annotations

from itertools import islice

from xxhash import xxh3_64_intdigest, xxh64_intdigest

BYTES_PER_TOKEN = 4


def hash_chain(
    model: str, salt: str, prompt: bytes, block_tokens: int, max_blocks: int | None
) -> tuple[int, ...]:
    """Hashes of the blocks of `block_tokens` tokens, the last of which may be partial.

    The first link is made of model and salt, so that neither shares a prefix with another. Each
    hash stands for its block and all before it.
    """
    if not prompt:
        return ()
    size = block_tokens * BYTES_PER_TOKEN
    view = memoryview(prompt)
    link = xxh64_intdigest(f"{model}\0{salt}".encode("utf-8", "surrogatepass"))
    chain: list[int] = []
    for start in islice(range(0, len(prompt), size), max_blocks):
        link = xxh3_64_intdigest(view[start : start + size], link)
        chain.append(link)
    return tuple(chain)
