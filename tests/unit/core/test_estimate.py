from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.estimation.recent import RecentPrompts

SECONDS = st.floats(0.0, 50.0)


def by_definition(
    lengths: list[int], queue: float, base: float, token: float, stretch: float
) -> float:
    total = 0.0
    for length in lengths:
        most = (base + token * length) * stretch
        waited = min(queue, most)
        total += waited * waited / 2 + (queue - waited) * most
    return total / len(lengths)


@given(
    st.lists(st.integers(0, 100_000), min_size=1, max_size=7),
    *(SECONDS, st.floats(0.0, 0.1), st.floats(1e-6, 1e-3), st.floats(1.0, 40.0)),
)
def test_the_delay_of_later_requests(
    lengths: list[int], queue: float, base: float, token: float, stretch: float
) -> None:
    prompts = RecentPrompts()
    for length in lengths:
        prompts.add(length)
    found = prompts.sample.delay(queue, base, token, stretch)
    expected = by_definition(lengths, queue, base, token, stretch)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_without_traffic_nobody_is_delayed() -> None:
    assert RecentPrompts().sample.delay(5.0, 0.0, 1e-5, 1.0) == 0.0
