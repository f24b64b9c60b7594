from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.prefixcache.blocks import hash_chain

SIZE = 64 * 4


def chain(
    prompt: bytes, model: str = "m", salt: str = "", most: int | None = None
) -> tuple[int, ...]:
    return hash_chain(model, salt, prompt, 64, most)


@pytest.mark.parametrize(("length", "blocks"), [(0, 0), (1, 1), (SIZE, 1), (SIZE + 1, 2)])
def test_the_last_block_may_be_partial(length: int, blocks: int) -> None:
    assert len(chain(b"x" * length)) == blocks


def test_the_number_of_blocks_is_capped() -> None:
    assert chain(b"x" * SIZE * 9, most=3) == chain(b"x" * SIZE * 9)[:3]


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
