from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from epp.core.endpoint import Endpoint, EndpointMetrics
from epp.prefixcache.approximate import DROPPED_PER_ADD, ApproximateIndex
from epp.prefixcache.blocks import GROUP
from epp.prefixcache.settings import PrefixCacheSettings
from tests.helpers.build import an_endpoint

UNIT = 64  # tokens in a first block


def in_tokens(blocks: dict[Endpoint, int]) -> dict[Endpoint, int]:
    return {endpoint: UNIT * number for endpoint, number in blocks.items()}


def an_index(capacity: int = 100) -> ApproximateIndex:
    return ApproximateIndex(PrefixCacheSettings(lru_capacity_per_server=capacity))


A, B, C = (an_endpoint(name) for name in "abc")


def test_only_a_contiguous_prefix_counts() -> None:
    index = an_index()
    index.add(A, (1, 2, 3))
    index.add(B, (1,))
    index.add(C, (3,))
    assert index.match((1, 2, 3, 4), [A, B, C]) == in_tokens({A: 3, B: 1})


def test_another_size_of_blocks_starts_the_index_anew() -> None:
    index = an_index()
    index.add(A, (1, 2, 3))
    assert index.reconfigure(PrefixCacheSettings(block_size_tokens=2 * UNIT))
    assert index.match((1, 2, 3), [A]) == {}
    index.add(A, (7, 8))
    assert index.match((7, 8), [A]) == {A: 4 * UNIT}
    assert len(index) == 2


def test_other_settings_leave_what_is_known() -> None:
    index = an_index()
    index.add(A, tuple(range(50)))
    assert not index.reconfigure(PrefixCacheSettings(lru_capacity_per_server=10))
    index.add(A, tuple(range(5)))  # the next credit shrinks it, least recent first
    assert len(index) == 10
    assert index.match(tuple(range(50)), [A]) == in_tokens({A: 10})


def test_only_the_asked_endpoints_are_told() -> None:
    index = an_index()
    index.add(A, (1, 2))
    index.add(B, (1, 2))
    assert index.match((1, 2), [B, C]) == in_tokens({B: 2})


def test_what_was_new_is_told_and_can_be_taken_back() -> None:
    index = an_index()
    assert set(index.add(A, (1, 2))) == {1, 2}
    fresh = index.add(A, (1, 2, 3))
    assert set(fresh) == {3}
    index.remove(A, fresh)
    assert index.match((1, 2, 3), [A]) == in_tokens({A: 2})
    index.remove(A, (9,))
    index.remove(B, (1,))


def test_a_longer_chain_above_what_is_taken_back_counts_until_it_is_forgotten() -> None:
    index = an_index(capacity=4)
    index.add(A, (1,))
    fresh = index.add(A, (1, 2, 3))
    index.add(A, (1, 2, 3, 4))
    index.remove(A, fresh)
    assert index.match((1, 2, 3, 4), [A]) == in_tokens({A: 4})  # more than is there
    index.add(A, (7, 8, 9))
    assert index.match((1, 2, 3, 4), [A]) == in_tokens({A: 1})


def test_the_tail_is_forgotten_before_its_prefix() -> None:
    index = an_index(capacity=4)
    index.add(A, (1, 2, 3))
    index.add(A, (7, 8))
    assert index.match((1, 2, 3), [A]) == in_tokens({A: 2})


def test_the_capacity_is_that_of_the_server_where_it_says_so() -> None:
    server = an_endpoint(num_blocks=16, block_size_tokens=16)  # 256 tokens: 4 blocks of 64
    index = an_index()
    index.add(server, range(10))
    assert index.tokens_of(server) == 4 * UNIT
    fixed = ApproximateIndex(PrefixCacheSettings(auto_tune=False, lru_capacity_per_server=7))
    fixed.add(server, range(10))
    assert fixed.tokens_of(server) == 7 * UNIT


def test_a_cache_that_turns_out_smaller_shrinks_by_steps() -> None:
    server = an_endpoint()
    index = an_index(capacity=5000)
    for first in range(0, 5000, 50):
        index.add(server, range(first, first + 50))
    server.metrics = EndpointMetrics(num_blocks=400, block_size_tokens=16)  # 100 blocks of 64
    sizes = [5000]
    while sizes[-1] > 100:
        index.add(server, (0,))
        sizes.append(index.tokens_of(server) // UNIT)
    steps = [before - after for before, after in pairwise(sizes)]
    assert max(steps) == DROPPED_PER_ADD + 1
    assert sizes[-1] == 100


def test_a_long_prompt_takes_the_room_of_its_tokens() -> None:
    index = an_index(capacity=1000)
    blocks = range(GROUP + 10)  # 64 first blocks and 10 of twice their size
    index.add(A, blocks)
    assert index.tokens_of(A) == (GROUP + 20) * UNIT
    assert index.match(blocks, [A]) == in_tokens({A: GROUP + 20})
    assert index.match(range(GROUP + 1), [A]) == in_tokens({A: GROUP + 2})
    tight = an_index(capacity=GROUP + 11)
    tight.add(A, blocks)
    assert tight.tokens_of(A) == (GROUP + 10) * UNIT
    assert tight.match(blocks, [A]) == in_tokens({A: GROUP + 10})


def test_a_forgotten_endpoint_counts_no_more() -> None:
    index = an_index()
    index.add(A, (1, 2))
    index.add(B, (1,))
    index.forget(A)
    index.forget(A)
    assert (len(index), index.tokens_of(A), index.match((1, 2), [A, B])) == (
        1,
        0,
        in_tokens({B: 1}),
    )
    index.add(A, (1,))
    assert index.match((1, 2), [A, B]) == in_tokens({A: 1, B: 1})


def test_what_was_forgotten_is_freed_while_others_are_credited() -> None:
    index = an_index(capacity=3000)
    for _ in range(20):
        index.add(A, range(2000))
        index.forget(A)
        assert sum(map(len, index._holders)) <= 3000
    for _ in range(8):
        index.add(B, (1,))
    assert [block for shard in index._holders for block in shard] == [1]
    assert len(index._at) <= 3


def test_more_servers_than_bits_of_a_word() -> None:
    pool = [an_endpoint() for _ in range(100)]
    index = an_index()
    for n, endpoint in enumerate(pool):
        index.add(endpoint, range(n % 50 + 1))
    expected = {e: min(40, n % 50 + 1) for n, e in enumerate(pool)}
    assert index.match(range(40), pool) == in_tokens(expected)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "forget"]),
        st.integers(0, 2),
        st.integers(0, 3),
        st.integers(1, 6),
    ),
    max_size=40,
)


@given(STEPS)
def test_it_agrees_with_a_naive_model_and_keeps_its_bound(
    steps: list[tuple[str, int, int, int]],
) -> None:
    capacity, endpoints = 8, [A, B, C]
    index = an_index(capacity)
    model: dict[Endpoint, list[int]] = {endpoint: [] for endpoint in endpoints}  # oldest first
    prompts = [tuple(100 * family + depth for depth in range(6)) for family in range(4)]
    for kind, who, family, length in steps:
        endpoint, blocks = endpoints[who], prompts[family][:length]
        held = model[endpoint]
        if kind == "add":
            index.add(endpoint, blocks)
            for block in reversed(blocks):
                if block in held:
                    held.remove(block)
                held.append(block)
            del held[: max(0, len(held) - capacity)]
        elif kind == "remove":
            # What a failed request brought: the end of a chain, whose prefix was there before.
            ends = prompts[family][length - 1 :]
            index.remove(endpoint, ends)
            model[endpoint] = [block for block in held if block not in ends]
        else:
            index.forget(endpoint)
            model[endpoint] = []
        assert index.tokens_of(endpoint) == UNIT * len(model[endpoint]) <= UNIT * capacity
        for prompt in prompts:
            expected = {}
            for other in endpoints:
                depth = 0
                while depth < len(prompt) and prompt[depth] in model[other]:
                    depth += 1
                if depth:
                    expected[other] = depth
            assert index.match(prompt, endpoints) == in_tokens(expected)
    assert len(index) == sum(map(len, model.values()))


def test_tokens_are_counted_as_the_tokenizer_makes_them() -> None:
    index = an_index()
    index.add(A, (1, 2))
    assert index.match((1, 2), [A], 1.25) == {A: 160}


def test_answers_push_out_what_is_least_recent() -> None:
    index = an_index(capacity=10)
    index.add(A, (1, 2, 3))
    index.add(A, (4, 5))
    index.reported("", A, 5 * UNIT)
    assert index.match((1, 2, 3), [A]) == in_tokens({A: 3})
    index.reported("", A, UNIT)
    assert index.match((1, 2, 3), [A]) == in_tokens({A: 2})
    index.reported("", A, 9 * UNIT)
    assert index.match((1,), [A]) == index.match((4,), [A]) == {}
    assert index.tokens_of(A) <= 10 * UNIT


def test_short_answers_add_up_to_a_block() -> None:
    index = an_index(capacity=2)
    index.add(A, (1, 2))
    index.reported("", A, UNIT - 1)
    assert index.match((1, 2), [A]) == in_tokens({A: 2})
    index.reported("", A, 1)
    assert index.match((1, 2), [A]) == in_tokens({A: 1})


def test_a_server_without_prompts_has_nothing_to_lose() -> None:
    index = an_index()
    index.reported("", A, 1000)
    index.add(A, (1,))
    index.reported("", A, 0)
    assert (len(index), index.tokens_of(A)) == (1, UNIT)


def test_answers_leave_with_their_server() -> None:
    index = an_index()
    index.add(A, (1,))
    index.reported("", A, 5 * UNIT)
    index.forget(A)
    index.add(B, (2,))
    assert (len(index), index.match((1, 2), [A, B])) == (1, {})
