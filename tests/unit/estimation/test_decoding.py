from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.core.endpoint import NEVER, EndpointMetrics
from epp.estimation.decoding import LEAST_SECONDS, LONGEST_GAP_SECONDS, Decoding, Progress, Window


def page(at: float, tokens: float, running: int = 4) -> EndpointMetrics:
    return EndpointMetrics(
        running=running,
        running_read_at=at,
        generated_tokens=tokens,
        generated_tokens_read_at=at,
    )


def so_far(
    prefilled: float = 0.0,
    pending: int = 0,
    placed: int = 0,
    loads: int = 0,
    pending_loads: int = 0,
) -> Progress:
    return Progress(prefilled, pending, placed, loads, pending_loads)


def test_a_window_is_what_changed_between_two_scrapes() -> None:
    decoding = Decoding()
    assert decoding.read(page(10.0, 500.0, running=2), so_far(100.0, 30, 7)) is None
    assert decoding.read(page(10.5, 550.0, running=4), so_far(300.0, 70, 8)) is None
    window = decoding.read(page(11.5, 700.0, running=6), so_far(400.0, 20, 10))
    assert window == Window(1.5, 200.0, (0.5 * 3 + 1.0 * 5) / 1.5, 300.0, 70, 3, 0)
    assert decoding.read(page(12.5, 800.0, running=6), so_far(400.0, 0, 10)) == Window(
        1.0, 100.0, 6.0, 0.0, 20, 0, 0
    )


def test_loads_that_were_pending_or_began_are_in_the_window() -> None:
    decoding = Decoding()
    assert decoding.read(page(0.0, 0.0), so_far(loads=5, pending_loads=1)) is None
    for at, loads, pending, counted in (
        (1.0, 5, 0, 1),  # was pending at the beginning
        (2.0, 5, 0, 0),
        (3.0, 7, 2, 2),
        (4.0, 7, 1, 2),  # both are still pending at its beginning
        (5.0, 7, 0, 1),
        (6.0, 7, 0, 0),
    ):
        window = decoding.read(page(at, 10 * at), so_far(loads=loads, pending_loads=pending))
        assert window is not None
        assert window.loads == counted


def test_who_ran_is_unknown_where_once_nobody_did() -> None:
    decoding = Decoding()
    assert decoding.read(page(0.0, 0.0), so_far()) is None
    assert decoding.read(page(0.5, 10.0, running=0), so_far()) is None
    window = decoding.read(page(1.0, 20.0), so_far(0.0, 0, 2))
    assert window is not None
    assert (window.running, window.tokens, window.placed) == (0.0, 20.0, 2)


@pytest.mark.parametrize(
    ("at", "tokens"), [(1.0, 50.0), (LONGEST_GAP_SECONDS + 0.1, 900.0)], ids=["restart", "gap"]
)
def test_a_window_that_is_cut_is_dropped_and_the_next_begins(at: float, tokens: float) -> None:
    decoding = Decoding()
    assert decoding.read(page(0.0, 100.0), so_far()) is None
    assert decoding.read(page(at, tokens), so_far()) is None
    window = decoding.read(page(at + 1.0, tokens + 40.0), so_far())
    assert window is not None
    assert (window.seconds, window.tokens) == (pytest.approx(1.0), 40.0)


def test_pages_without_the_counter_or_seen_before_say_nothing() -> None:
    decoding = Decoding()
    assert decoding.read(EndpointMetrics(running=3, running_read_at=1.0), so_far()) is None
    assert decoding.read(page(2.0, 0.0), so_far()) is None
    assert decoding.read(page(2.0, 0.0), so_far()) is None
    late = EndpointMetrics(
        running=3, running_read_at=4.0, generated_tokens=90.0, generated_tokens_read_at=2.0
    )
    assert decoding.read(late, so_far()) is None
    assert late.waiting_read_at == NEVER
    window = decoding.read(page(4.0, 90.0), so_far())
    assert window is not None
    assert window.seconds == 2.0


@given(
    st.lists(st.tuples(st.floats(0.01, 4.0), st.integers(0, 500), st.integers(0, 9)), max_size=30)
)
def test_every_token_is_in_one_window_at_most(
    readings: list[tuple[float, int, int]],
) -> None:
    decoding, now, tokens, seen = Decoding(), 0.0, 0.0, 0.0
    for gap, more, running in readings:
        now, tokens = now + gap, tokens + more
        window = decoding.read(page(now, tokens, running), so_far())
        if window is not None:
            assert window.seconds >= LEAST_SECONDS
            assert 0.0 <= window.running <= 9.0 + 1e-9
            seen += window.tokens
    assert seen <= tokens
