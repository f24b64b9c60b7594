from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from epp.shadow.draws import NotedDraws, RepeatedDraws

DRAWS: dict[str, Callable[[random.Random], object]] = {
    "random": lambda rng: rng.random(),
    "bits": lambda rng: rng.getrandbits(70),
    "sample": lambda rng: rng.sample(range(9), 3),
    "shuffle": lambda rng: rng.shuffle([1, 2, 3]),
    "choices": lambda rng: rng.choices("abc", [1.0, 2.0, 3.0], k=2),
    "below": lambda rng: rng.randrange(1000),
    "gauss": lambda rng: rng.gauss(0.0, 1.0),
    "normal": lambda rng: rng.normalvariate(0.0, 1.0),
    "bytes": lambda rng: rng.randbytes(3),
}
NAMES = st.lists(st.sampled_from(sorted(DRAWS)), max_size=8)


def drawn(rng: random.Random, names: Sequence[str]) -> list[object]:
    return [DRAWS[name](rng) for name in names]


@given(st.lists(NAMES, max_size=4), st.integers())
def test_who_is_noted_draws_as_ever_and_the_same_is_drawn_again(
    decisions: list[list[str]], seed: int
) -> None:
    alone, source = random.Random(seed), random.Random(seed)
    noting, again = NotedDraws(), RepeatedDraws(random.Random(1))
    for names in decisions:
        noting.begin(source)
        expected = drawn(alone, names)
        assert drawn(noting, names) == expected
        for _ in range(2):
            again.begin(noting)
            assert drawn(again, names) == expected
        assert source.getstate() == alone.getstate()


@given(NAMES, NAMES, st.integers())
def test_whoever_draws_more_or_otherwise_has_draws_of_its_own(
    noted: list[str], asked: list[str], seed: int
) -> None:
    noting, again = NotedDraws(), RepeatedDraws(random.Random(1))
    source = random.Random(seed)
    noting.begin(source)
    drawn(noting, noted)
    state = source.getstate()
    again.begin(noting)
    drawn(again, [*noted, *asked, *asked])
    again.begin(noting)
    drawn(again, asked)
    assert source.getstate() == state


def test_where_nothing_was_drawn_the_draws_differ_from_time_to_time() -> None:
    noting, again = NotedDraws(), RepeatedDraws(random.Random(1))
    values = set()
    for _ in range(20):
        noting.begin(random.Random(7))
        again.begin(noting)
        values.add(again.random())
    assert len(values) == 20


def test_seed_and_state_are_those_of_the_source() -> None:
    source = random.Random(1)
    noting = NotedDraws()
    noting.begin(source)
    state = noting.getstate()
    first = noting.random()
    noting.setstate(state)
    assert noting.random() == first
    noting.seed(1)
    assert noting.random() == first
