"""Prompts that go on from answered ones, by the index that credits their servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.prefixcache.answers import LOOK_BACK, MOST_PROMPTS, MOST_UNREPORTED, AnsweredPrompts
from epp.prefixcache.approximate import ApproximateIndex
from epp.prefixcache.blocks import hash_chain, whole_blocks
from epp.prefixcache.settings import PrefixCacheSettings
from tests.helpers.build import an_endpoint

UNIT = 64  # tokens in a first block
BLOCK = 4 * UNIT  # bytes in it
A, B = an_endpoint("a"), an_endpoint("b")


def text(name: str, size: int) -> bytes:
    return (name.encode() * size)[:size]


def chain(prompt: bytes) -> tuple[int, ...]:
    return hash_chain("m", "", prompt, UNIT, None)


def asked(prompt: bytes, request_id: str = "r", ratio: float = 1.0) -> RequestFacts:
    return RequestFacts(
        request_id, token_ratio=ratio, prefix_blocks=chain(prompt), prefix_bytes=len(prompt)
    )


def placed(index: ApproximateIndex, endpoint: Endpoint, prompt: bytes, **more: float) -> None:
    index.add(endpoint, chain(prompt))
    index.answered(asked(prompt), endpoint, int(more.get("tokens", 0)))


def cached(index: ApproximateIndex, prompt: bytes) -> dict[Endpoint, int]:
    blocks = chain(prompt)
    index.recognize(blocks, prompt)
    return {e: tokens // UNIT for e, tokens in index.match(blocks, [A, B]).items()}


# Three blocks and a half, answered with four blocks.
QUESTION = text("question", 3 * BLOCK + BLOCK // 2)
ANSWER = text("answer", 4 * BLOCK)
FOLLOW_UP = QUESTION + ANSWER + text("more", 2 * BLOCK)


def test_the_next_turn_finds_the_answer_where_it_was_given() -> None:
    index = ApproximateIndex(PrefixCacheSettings())
    placed(index, A, QUESTION, tokens=4 * UNIT)
    placed(index, B, QUESTION[: 3 * BLOCK])
    assert cached(index, FOLLOW_UP) == {A: 7, B: 3}  # seven and a half: what is whole


def test_an_answer_counts_once_in_the_size_of_a_cache() -> None:
    index = ApproximateIndex(PrefixCacheSettings())
    placed(index, A, QUESTION, tokens=4 * UNIT)
    assert index.tokens_of(A) == (4 + 4) * UNIT
    cached(index, FOLLOW_UP)
    assert index.tokens_of(A) == (4 + 4) * UNIT  # to look it up changes nothing
    index.add(A, chain(FOLLOW_UP))
    assert index.tokens_of(A) == 10 * UNIT  # nine and a half


def test_a_prompt_that_only_begins_alike_finds_no_answer() -> None:
    index = ApproximateIndex(PrefixCacheSettings())
    placed(index, A, QUESTION, tokens=4 * UNIT)
    other = QUESTION[: 3 * BLOCK] + text("another", 9 * BLOCK)
    assert cached(index, other) == {A: 3}
    assert cached(index, QUESTION[:-1]) == {A: 3}


def test_the_same_prompt_again_finds_what_it_found() -> None:
    index = ApproximateIndex(PrefixCacheSettings())
    placed(index, A, QUESTION, tokens=4 * UNIT)
    assert cached(index, QUESTION) == {A: 4}


def test_a_server_that_lost_the_prompt_has_no_answer() -> None:
    index = ApproximateIndex(PrefixCacheSettings())
    placed(index, A, QUESTION, tokens=4 * UNIT)
    index.forget(A)
    assert cached(index, FOLLOW_UP) == {}
    index.add(A, chain(QUESTION)[:2])  # it restarted, and has something else
    assert cached(index, FOLLOW_UP) == {A: 2}


def test_the_answer_of_the_last_one_counts() -> None:
    index = ApproximateIndex(PrefixCacheSettings())
    placed(index, A, QUESTION, tokens=4 * UNIT)
    placed(index, B, QUESTION, tokens=2 * UNIT)
    assert cached(index, FOLLOW_UP) == {A: 3, B: 5}


def test_turn_after_turn() -> None:
    index = ApproximateIndex(PrefixCacheSettings())
    prompt = QUESTION
    for turn in range(12):
        placed(index, A, prompt, tokens=4 * UNIT)
        answered = prompt + text(f"answer {turn}", 4 * BLOCK)
        prompt = answered + text(f"question {turn}", BLOCK // 2)
        whole, _ = whole_blocks(len(answered), UNIT)
        blocks = chain(prompt)
        index.recognize(blocks, prompt)
        credited = index.match(blocks, [A])[A]
        assert credited >= len(answered) // 4 - 2 * UNIT  # whole blocks, which grow
        assert whole <= len(blocks)


@pytest.mark.parametrize("told", [True, False])
def test_the_length_of_an_answer_may_be_told_later_or_never(told: bool) -> None:
    index = ApproximateIndex(PrefixCacheSettings())
    index.add(A, chain(QUESTION))
    index.answered(asked(QUESTION, "late"), A, None)
    assert cached(index, FOLLOW_UP)[A] == 3
    if told:
        index.reported("late", A, 4 * UNIT)
    index.reported("somebody else", A, 4 * UNIT)
    assert cached(index, FOLLOW_UP)[A] == (7 if told else 3)


def test_tokens_of_an_answer_are_as_long_as_those_of_its_prompt() -> None:
    index = ApproximateIndex(PrefixCacheSettings())
    index.add(A, chain(QUESTION))
    index.answered(asked(QUESTION, ratio=2.0), A, 4 * UNIT)  # a token is two bytes
    assert cached(index, FOLLOW_UP)[A] == 5


def test_what_is_not_looked_at_to_its_end_is_not_gone_on_from() -> None:
    index = ApproximateIndex(PrefixCacheSettings(max_prefix_tokens_to_match=3 * UNIT))
    blocks = hash_chain("m", "", QUESTION, UNIT, 3 * UNIT)
    index.add(A, blocks)
    facts = RequestFacts("r", prefix_blocks=blocks, prefix_bytes=len(QUESTION))
    index.answered(facts, A, 4 * UNIT)
    assert cached(index, FOLLOW_UP) == {A: 3}


def test_a_prompt_without_a_whole_block_and_one_of_whole_blocks() -> None:
    index = ApproximateIndex(PrefixCacheSettings())
    placed(index, A, QUESTION[: BLOCK - 1], tokens=4 * UNIT)
    assert cached(index, FOLLOW_UP) == {}
    placed(index, A, QUESTION[: 2 * BLOCK], tokens=4 * UNIT)
    assert cached(index, QUESTION[: 2 * BLOCK] + ANSWER) == {A: 6}


def test_another_size_of_blocks_forgets_answers() -> None:
    index = ApproximateIndex(PrefixCacheSettings())
    placed(index, A, QUESTION, tokens=4 * UNIT)
    index.reconfigure(PrefixCacheSettings(block_size_tokens=2 * UNIT))
    assert len(index._answers) == 0


def test_it_remembers_no_more_than_it_may() -> None:
    answers = AnsweredPrompts()
    for n in range(MOST_PROMPTS + MOST_UNREPORTED + 20):
        blocks = (3 * n + 1, 3 * n + 2)
        facts = RequestFacts(f"r{n}", prefix_blocks=blocks, prefix_bytes=BLOCK + 9)
        answers.answered(facts, A, 5 if n < MOST_PROMPTS + 10 else None, 0, UNIT)
    assert len(answers) == MOST_PROMPTS + MOST_UNREPORTED
    assert answers.continued((1, 2), b"x" * 900, UNIT) is None  # the first one has left


def test_an_old_prompt_far_before_the_end_is_not_looked_for() -> None:
    answers = AnsweredPrompts()
    answers.answered(asked(QUESTION[: 2 * BLOCK]), A, 9 * UNIT, 0, UNIT)
    near = QUESTION[: 2 * BLOCK] + text("x", (LOOK_BACK - 1) * BLOCK)
    assert answers.continued(chain(near)[: LOOK_BACK + 1], near, UNIT) is not None
    assert answers.continued(chain(near)[: LOOK_BACK + 2], near, UNIT) is not None
    far = near + text("y", 9 * BLOCK)
    assert answers.continued(chain(far), far, UNIT) is None


@given(
    st.integers(0, 40_000), st.integers(0, 3000), st.integers(0, 20_000), st.sampled_from([64, 128])
)
def test_never_more_than_the_prompt_and_its_answer(
    old: int, tokens: int, more: int, unit: int
) -> None:
    prompt = text("abcdefg", old)
    longer = prompt + text("h", more)
    answers = AnsweredPrompts()
    facts = RequestFacts(
        "r", prefix_blocks=hash_chain("m", "", prompt, unit, None), prefix_bytes=old
    )
    answers.answered(facts, A, tokens, 0, unit)
    found = answers.continued(hash_chain("m", "", longer, unit, None), longer, unit)
    if found is not None:
        whole, size = whole_blocks(min(len(longer), old + 4 * tokens), unit)
        assert found.blocks == whole
        assert size <= len(longer)
        assert found.known_blocks == whole_blocks(old, unit)[0] < found.blocks


@given(st.integers(0, 60_000), st.sampled_from([64, 100, 256]))
def test_whole_blocks_are_those_of_the_chain(size: int, unit: int) -> None:
    blocks = hash_chain("m", "", bytes(size), unit, None)
    whole, inside = whole_blocks(size, unit)
    assert len(blocks) == whole + (inside < size)
    assert hash_chain("m", "", bytes(inside), unit, None) == blocks[:whole]
