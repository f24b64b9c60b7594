from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.simulation import tokens


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_text_survives(text: str) -> None:
    assert tokens.decode(tokens.encode(text)) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        pytest.param("", 0, id="empty"),
        pytest.param("a", 1, id="one byte"),
        pytest.param("abcd", 1, id="four bytes"),
        pytest.param("abcde", 2, id="five bytes"),
        pytest.param("äöü", 2, id="bytes, not characters"),
    ],
)
def test_four_bytes_are_a_token(text: str, count: int) -> None:
    assert len(tokens.encode(text)) == count


def test_a_conversation_that_goes_on_keeps_its_tokens() -> None:
    first = [("system", "Be brief."), ("user", "Hello there")]
    prompt = tokens.render_chat(first)
    words = tokens.answer(prompt, 7, seed=0)
    turn = [*first, ("assistant", tokens.decode(words)), ("user", "more")]
    assert tokens.render_chat(turn)[: len(prompt) + 7] == prompt + words


def test_roles_are_told_apart() -> None:
    assert tokens.render_chat([("user", "x")]) != tokens.render_chat([("system", "x")])


def test_equal_prompts_get_equal_answers() -> None:
    prompt, other = tokens.encode("a prompt"), tokens.encode("another")
    assert tokens.answer(prompt, 50, 1) == tokens.answer(prompt, 50, 1)
    assert tokens.answer(prompt, 50, 1) != tokens.answer(prompt, 50, 2)
    assert tokens.answer(prompt, 50, 1) != tokens.answer(other, 50, 1)


def test_natural_lengths_are_those_of_chats() -> None:
    lengths = sorted(tokens.natural_length(array("I", [i]), 0) for i in range(2000))
    assert lengths == sorted(tokens.natural_length(array("I", [i]), 0) for i in range(2000))
    assert lengths[1000] == pytest.approx(129, rel=0.1)
    assert sum(lengths) / 2000 == pytest.approx(211, rel=0.15)


@given(
    shared=st.lists(st.integers(0, 2**32 - 1), max_size=40),
    tails=st.tuples(*[st.lists(st.integers(0, 2**32 - 1), max_size=20)] * 2),
)
def test_block_hashes_agree_exactly_on_the_common_blocks(
    shared: list[int], tails: tuple[list[int], list[int]]
) -> None:
    one, two = (array("I", shared + tail) for tail in tails)
    hashes = [tokens.block_hashes(t, 4, root="") for t in (one, two)]
    assert [len(h) for h in hashes] == [len(one) // 4, len(two) // 4]
    for place, (a, b) in enumerate(zip(*hashes, strict=False), start=1):
        assert (a == b) == (one[: place * 4] == two[: place * 4])


def test_roots_keep_caches_apart() -> None:
    prompt = tokens.encode("sixteen bytes...")
    one, two = (tokens.block_hashes(prompt, 4, root=root) for root in ("a", "b"))
    assert set(one).isdisjoint(two)
