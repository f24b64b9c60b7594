from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.core.decision import Lease
from epp.core.endpoint import Endpoint
from epp.core.estimate import UNKNOWN
from epp.estimation.first_tokens import LONGEST_GAP_SECONDS
from epp.estimation.prefills import ServerPrefills
from epp.estimation.residency import Tier
from epp.estimation.stay import Stay
from tests.helpers.build import an_endpoint

SHOWN, UNCLOCKED = "shown", "unclocked"


def a_stay(endpoint: Endpoint, order: int, kind: float | str, tokens: int = 100) -> Stay:
    """`kind` is what the clock expects in seconds, or a word."""
    return Stay(
        endpoint,
        Lease(endpoint, tokens, tokens),
        f"r{order}",
        "m",
        "",
        Tier.RESIDENT,
        tokens,
        float(tokens),
        0,
        shows_first_token=kind == SHOWN,
        placed_at=0.0,
        order=order,
        prefill_seconds=kind if isinstance(kind, float) else math.nan,
    )


def placed(prefills: ServerPrefills, endpoint: Endpoint, *kinds: float | str) -> list[Stay]:
    stays = [a_stay(endpoint, order, kind) for order, kind in enumerate(kinds)]
    for stay in stays:
        prefills.add(stay, 10.0)
    return stays


def test_the_clock_ends_one_after_the_other() -> None:
    endpoint = an_endpoint()
    prefills = ServerPrefills(endpoint)
    first, second = placed(prefills, endpoint, 1.0, 2.0)
    assert endpoint.estimate.clear_at == 13.0
    assert prefills.due_at == 11.0
    assert prefills.take_due(10.9) == []
    assert prefills.take_due(11.0) == [first]
    assert (prefills.due_at, endpoint.estimate.clear_at) == (13.0, 13.0)
    assert prefills.take_due(99.0) == [second]
    assert (prefills.due_at, endpoint.estimate.clear_at) == (math.inf, UNKNOWN)
    assert prefills.done_tokens == 200


def test_an_idle_server_begins_when_something_comes() -> None:
    endpoint = an_endpoint()
    prefills = ServerPrefills(endpoint)
    placed(prefills, endpoint, 1.0)
    prefills.take_due(50.0)
    prefills.add(a_stay(endpoint, 9, 1.0), 50.0)
    assert endpoint.estimate.clear_at == 51.0


def test_a_later_end_proves_the_earlier_ones_and_puts_the_clock_right() -> None:
    endpoint = an_endpoint()
    prefills = ServerPrefills(endpoint)
    stays = placed(prefills, endpoint, UNCLOCKED, 1.0, 1.0, 1.0, 1.0)
    assert prefills.take_proven(3, 10.5) == stays[:3]
    prefills.finish(stays[3], 10.5)
    assert endpoint.estimate.awaited_tokens == 0
    assert endpoint.estimate.clear_at == 11.5
    assert prefills.take_proven(3, 10.6) == []
    assert endpoint.estimate.clear_at == 11.5


def test_who_shows_its_first_token_is_not_proven_by_others() -> None:
    endpoint = an_endpoint()
    prefills = ServerPrefills(endpoint)
    shown, clocked = placed(prefills, endpoint, SHOWN, 1.0)
    assert endpoint.estimate.awaited_tokens == 100
    assert prefills.take_proven(99, 10.0) == [clocked]
    assert endpoint.estimate.awaited_tokens == 100
    prefills.finish(shown, 10.0)
    assert endpoint.estimate.awaited_tokens == 0


@pytest.mark.parametrize(("left", "clear_at"), [(0, 13.5), (1, 13.0), (2, 12.0)])
def test_who_leaves_is_not_waited_for(left: int, clear_at: float) -> None:
    endpoint = an_endpoint()
    prefills = ServerPrefills(endpoint)
    stays = placed(prefills, endpoint, 1.0, 1.0, 2.0)
    prefills.drop(stays[left], 10.5)
    assert endpoint.estimate.clear_at == clear_at
    assert prefills.done_tokens == 0


def test_what_the_server_counts_is_over_and_what_it_does_not_is_not() -> None:
    endpoint = an_endpoint()
    prefills = ServerPrefills(endpoint)
    first, second, third = placed(prefills, endpoint, 1.0, 2.0, 4.0)
    assert prefills.counted(0, 9.9, 0.1, 10.0) == []
    assert prefills.take_due(14.0) == []  # all of them are counted
    assert endpoint.estimate.clear_at == 17.0
    # The first took twice as long as the clock has it.
    assert prefills.counted(0, 11.7, 0.1, 11.8) == []
    assert endpoint.estimate.clear_at == pytest.approx(17.8)
    assert prefills.counted(1, 11.9, 0.1, 12.0) == [first]
    assert endpoint.estimate.clear_at == pytest.approx(11.9 + 6.0)
    # And the second half as long.
    assert prefills.counted(2, 12.8, 0.1, 12.9) == [second]
    assert endpoint.estimate.clear_at == pytest.approx(12.9 + 4.0)
    prefills.finish(third, 16.0)
    assert endpoint.estimate.clear_at == UNKNOWN


def test_the_clock_ends_what_is_shorter_than_the_time_between_counts() -> None:
    endpoint = an_endpoint()
    prefills = ServerPrefills(endpoint)
    long, short = placed(prefills, endpoint, 1.0, 0.1)
    prefills.counted(0, 9.5, 0.5, 10.0)
    assert prefills.take_due(10.9) == []
    assert prefills.counted(1, 10.5, 0.5, 11.0) == [long]
    assert prefills.due_at == 11.1
    assert prefills.take_due(11.1) == [short]


def test_a_counter_that_says_no_more_leaves_it_to_the_clock() -> None:
    endpoint = an_endpoint()
    prefills = ServerPrefills(endpoint)
    [stay] = placed(prefills, endpoint, 1.0)
    prefills.counted(0, 9.9, 0.1, 10.0)
    assert prefills.take_due(11.0) == []
    prefills.uncounted()
    assert prefills.take_due(11.0) == [stay]


def test_without_another_count_the_clock_goes_on() -> None:
    endpoint = an_endpoint()
    prefills = ServerPrefills(endpoint)
    [stay] = placed(prefills, endpoint, 1.0)
    prefills.counted(0, 9.9, 0.1, 10.0)
    assert prefills.due_at == 10.0 + LONGEST_GAP_SECONDS
    assert prefills.take_due(10.0 + LONGEST_GAP_SECONDS) == [stay]


KIND = st.one_of(st.sampled_from([SHOWN, UNCLOCKED]), st.floats(0.0, 3.0))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "due", "prove", "count", "finish", "drop"]),
        KIND,
        st.integers(0, 40),
    ),
    max_size=60,
)


@given(STEPS)
def test_what_is_held_is_always_what_has_not_ended(
    steps: list[tuple[str, float | str, int]],
) -> None:
    endpoint = an_endpoint()
    prefills = ServerPrefills(endpoint)
    stays: list[Stay] = []
    for at, (step, kind, number) in enumerate(steps):
        now = at / 4
        held = [stay for stay in stays if stay.prefilling]
        if step == "add":
            prefills.take_due(now)
            stays.append(a_stay(endpoint, at, kind, tokens=number))
            stays[-1].adapter_waits = number % 3 == 0
            prefills.add(stays[-1], now)
            pending = [stay for stay in held if stay.prefilling and stay.loads]
            assert prefills.others_load(stays[-1]) == bool(pending)
        elif step == "due":
            prefills.take_due(now)
        elif step == "prove":
            prefills.take_proven(number, now)
        elif step == "count":
            gap = kind if isinstance(kind, float) else math.inf
            prefills.counted(number, now - 0.1, gap, now)
        elif held:
            stay = held[number % len(held)]
            if step == "finish":
                prefills.finish(stay, now)
            else:
                prefills.drop(stay, now)
        held = [stay for stay in stays if stay.prefilling]
        awaited = [stay for stay in held if math.isnan(stay.prefill_seconds)]
        clocked = [stay for stay in held if not math.isnan(stay.prefill_seconds)]
        assert prefills.pending_tokens == sum(stay.uncached_tokens for stay in held)
        assert prefills.pending_loads == sum(stay.loads for stay in held)
        assert endpoint.estimate.awaited_tokens == sum(stay.uncached_tokens for stay in awaited)
        assert math.isfinite(endpoint.estimate.clear_at) == bool(clocked)
        expected = sum(stay.prefill_seconds for stay in clocked)
        assert not clocked or endpoint.estimate.clear_at <= now + expected + 1e-6
    prefills.take_proven(1000, 1e6)
    for stay in stays:
        if stay.prefilling:
            prefills.finish(stay, 1e6)
    assert (prefills.pending_tokens, endpoint.estimate.awaited_tokens) == (0, 0)
    assert (prefills.pending_loads, prefills.loads) == (0, sum(stay.loads for stay in stays))
    assert endpoint.estimate.clear_at == UNKNOWN
