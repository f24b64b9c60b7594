from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.prefixcache.blocks import GROUP, hash_chain, sizes_from_last, tokens_in

SIZE = 64 * 4


def chain(
    prompt: bytes, model: str = "m", salt: str = "", max_tokens: int | None = None
) -> tuple[int, ...]:
    return hash_chain(model, salt, prompt, 64, max_tokens)


@pytest.mark.parametrize(("length", "blocks"), [(0, 0), (1, 1), (SIZE, 1), (SIZE + 1, 2)])
def test_the_last_block_may_be_partial(length: int, blocks: int) -> None:
    assert len(chain(b"x" * length)) == blocks


def test_the_tokens_looked_at_are_capped() -> None:
    assert chain(b"x" * SIZE * 9, max_tokens=3 * 64) == chain(b"x" * SIZE * 9)[:3]


@pytest.mark.parametrize(
    ("units", "blocks", "whole"),
    [
        (GROUP, GROUP, GROUP),
        (GROUP + 1, GROUP + 1, GROUP),
        (GROUP + 2, GROUP + 1, GROUP + 1),
        (GROUP + 3, GROUP + 2, GROUP + 1),
        (3 * GROUP, 2 * GROUP, 2 * GROUP),
        (3 * GROUP + 3, 2 * GROUP + 1, 2 * GROUP),
        (3 * GROUP + 4, 2 * GROUP + 1, 2 * GROUP + 1),
        (3 * GROUP + 5, 2 * GROUP + 2, 2 * GROUP + 1),
    ],
)
def test_blocks_grow_with_the_prompt(units: int, blocks: int, whole: int) -> None:
    prompt = bytes(units * SIZE)
    longer = chain(prompt + b"x" * 9 * SIZE)
    assert len(chain(prompt)) == blocks
    assert chain(prompt)[:whole] == longer[:whole]
    assert not set(chain(prompt)[whole:]) & set(longer)


@given(st.integers(0, 700))
def test_the_tokens_of_blocks_are_the_sum_of_their_sizes(blocks: int) -> None:
    sizes = sizes_from_last(blocks)[::-1]
    assert tokens_in(blocks, 64) == 64 * sum(sizes)
    assert list(sizes) == sorted(sizes)
    assert all(32 * 64 * sizes[n] <= tokens_in(n, 64) for n in range(GROUP, blocks))


@given(st.binary(max_size=4 * SIZE), st.binary(max_size=SIZE), st.binary(max_size=SIZE))
def test_equal_prefixes_give_equal_blocks(shared: bytes, one: bytes, two: bytes) -> None:
    whole = len(shared) // SIZE
    assert chain(shared + one)[:whole] == chain(shared + two)[:whole]


def test_a_block_stands_for_all_before_it() -> None:
    first, second = b"a" * SIZE, b"b" * SIZE
    assert chain(first + second)[1] != chain(second + second)[1]


@pytest.mark.parametrize("other", [{"model": "n"}, {"salt": "s"}])
def test_models_and_salts_share_nothing(other: dict[str, str]) -> None:
    prompt = b"x" * SIZE * 2
    assert not set(chain(prompt)) & set(chain(prompt, **other))  # type: ignore[arg-type]
