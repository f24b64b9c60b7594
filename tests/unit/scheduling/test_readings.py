from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.core.endpoint import Endpoint, EndpointMetrics
from epp.scheduling.readings import (
    LEAST_TOKENS_OF_A_STEP,
    best_scored,
    cached_shares,
    free_kv_cache,
    requests_in_line,
    unless_all_are_full,
)
from tests.helpers.build import an_endpoint

A, B, C, D = (Endpoint(name, "10.0.0.1", port) for port, name in enumerate("abcd", 1))


def test_a_pool_that_was_never_scraped_is_told_by_our_own_requests() -> None:
    idle, busy = Endpoint("a", "10.0.0.1", 1), Endpoint("b", "10.0.0.1", 2)
    busy.load.requests, busy.load.waiting = 5, 2
    assert requests_in_line([idle, busy]) == [0, 5]
    idle.metrics = busy.metrics = EndpointMetrics(waiting_read_at=1.0)
    assert requests_in_line([idle, busy]) == [0, 2]


def test_who_was_never_read_is_told_by_what_the_others_have_of_ours() -> None:
    first, second = an_endpoint(requests=4, waiting=1), an_endpoint(requests=2)
    unread = an_endpoint(read_at=None)
    for requests, waiting in ((0, 0), (3, 0), (5, 2)):
        unread.load.requests = requests
        assert requests_in_line([first, unread, second]) == [1, waiting, 0]


def test_requests_that_no_reading_shows_are_in_line() -> None:
    hangs = an_endpoint(requests=7)
    hangs.load.unseen = 6.9
    assert requests_in_line([hangs, an_endpoint(waiting=3)]) == [6, 3]


def test_free_kv_cache() -> None:
    used, empty = an_endpoint(kv_cache_usage=0.75, requests=3), an_endpoint(requests=1)
    assert free_kv_cache([used, empty]) == [0.25, 1.0]
    unread = an_endpoint(read_at=None)
    for requests, free in ((0, 1.0), (2, 0.625), (9, 0.0)):  # three quarters for four requests
        unread.load.requests = requests
        assert free_kv_cache([used, unread, empty]) == [0.25, free, 1.0]
    assert free_kv_cache([unread]) == [1.0]


def test_cached_shares() -> None:
    assert cached_shares([A, B], {B: 32}, 64) == [0.0, 0.5]


@pytest.mark.parametrize(
    ("scores", "count", "best"),
    [
        pytest.param([1.0, 3.0, 2.0], 1, [B], id="the best"),
        pytest.param([1.0, 3.0, 2.0], 2, [B, C], id="two"),
        pytest.param([1.0, 3.0, 2.0], 9, [B, C, A], id="all"),
        pytest.param([-1.0, -3.0, -2.0], 3, [A, C, B], id="below zero"),
    ],
)
def test_the_best_of_scores(scores: list[float], count: int, best: list[Endpoint]) -> None:
    assert best_scored([A, B, C], scores, count, random.Random(1)) == best


@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_of_equals_has_the_same_chance_at_each_place(count: int) -> None:
    rng = random.Random(3)
    endpoints, scores = [A, D, B, C], [2.0, 5.0, 2.0, 2.0]
    seen: Counter[tuple[int, Endpoint]] = Counter()
    for _ in range(6000):
        best, *others = best_scored(endpoints, scores, 1 + count, rng)
        assert best is D
        assert len(set(others)) == count
        seen.update(enumerate(others))
    assert len(seen) == 3 * count
    # Five standard deviations of a binomial around 2000.
    assert all(abs(times - 2000) < 183 for times in seen.values())


def test_the_only_pick_is_drawn_from_the_best() -> None:
    rng = random.Random(3)
    endpoints, scores = [A, D, B, C], [2.0, 1.0, 2.0, 2.0]
    picks = Counter(best_scored(endpoints, scores, 1, rng)[0] for _ in range(6000))
    assert set(picks) == {A, B, C}
    assert all(abs(times - 2000) < 183 for times in picks.values())  # five deviations


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, -2.5]), min_size=1), st.integers(1, 12))
def test_no_better_one_is_left_out(scores: list[float], count: int) -> None:
    endpoints = [Endpoint(str(n), "10.0.0.1", n + 1) for n in range(len(scores))]
    best = best_scored(endpoints, scores, count, random.Random(1))
    assert len({id(endpoint) for endpoint in best}) == len(best)
    scored = [scores[endpoint.port - 1] for endpoint in best]
    assert scored == sorted(scores, reverse=True)[:count]


def test_all_may_be_chosen_while_one_has_room_but_those_with_a_long_queue_for_one() -> None:
    asked: list[Endpoint] = []

    def has_room(endpoint: Endpoint) -> bool:
        asked.append(endpoint)
        return False

    idle, queued, closed = (an_endpoint() for _ in range(3))
    full, unread = an_endpoint(kv_cache_usage=0.8), an_endpoint(read_at=None)
    queued.load.waiting = closed.load.waiting = 3
    closed.load.places = 4
    assert unless_all_are_full([idle, queued, full], 0.8, has_room) == [idle, queued, full]
    assert asked == []  # there is room, and none of them would be closed
    assert unless_all_are_full([queued, closed, idle], 0.8, has_room) == [queued, idle]
    assert asked == [queued, closed]
    assert unless_all_are_full([queued, full, closed], 0.8, has_room) == ()
    asked.clear()
    assert unless_all_are_full([queued, unread], 0.8, has_room) == [queued, unread]
    assert asked == [queued]  # nobody waits where nothing was sent
    unread.load.requests = 1
    asked.clear()
    assert unless_all_are_full([idle, unread], 0.8, has_room) == [idle]
    assert asked == [unread]  # nothing that was read says that it has room


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), st.integers(0, 2), st.sampled_from([0.1, 0.85]), st.booleans()
        ),
        max_size=6,
    )
)
def test_who_may_be_chosen_by_the_rule_alone(
    pool: list[tuple[int, int, float, bool]],
) -> None:
    """Waiting, places, KV cache in use, and whether it would be said to have room."""
    endpoints, said = [], {}
    for waiting, places, usage, room in pool:
        endpoint = an_endpoint(waiting=waiting, kv_cache_usage=usage)
        endpoint.load.places = places
        endpoints.append(endpoint)
        said[endpoint] = room
    idle = {e for e in endpoints if not e.load.waiting and e.metrics.kv_cache_usage < 0.8}
    roomy = {e for e in endpoints if e in idle or said[e]}
    queues = {e for e in endpoints if e.load.waiting}  # for a place, as nobody computes a prompt
    stays = [e for e in endpoints if e in roomy or e not in queues]
    found = unless_all_are_full(endpoints, 0.8, said.__getitem__)
    assert list(found) == (stays if roomy else [])


@pytest.mark.parametrize(
    ("metrics", "prefilling", "closed"),
    [
        pytest.param({}, 0, True, id="for-a-place"),
        pytest.param({"waiting": 0}, 0, False, id="taken-to-wait"),  # no reading shows a queue
        pytest.param({}, LEAST_TOKENS_OF_A_STEP, False, id="behind-prompts"),
        pytest.param({"kv_cache_usage": 0.95}, 0, False, id="for-memory"),
        pytest.param(
            {"max_adapters": 1, "running_adapters": frozenset("a")}, 0, False, id="for-an-adapter"
        ),
    ],
)
def test_a_queue_that_can_be_for_nothing_else_is_for_a_place(
    metrics: dict[str, Any], prefilling: int, closed: bool
) -> None:
    queued, idle = an_endpoint(**{"waiting": 6, "running": 4, **metrics}), an_endpoint()
    queued.load.waiting, queued.load.prefilling_tokens_at_reading = 6, prefilling
    found = unless_all_are_full([queued, idle], 0.98, lambda endpoint: endpoint is idle)
    assert list(found) == ([idle] if closed else [queued, idle])


@pytest.mark.parametrize(
    ("then", "now", "closed"),
    [
        pytest.param(LEAST_TOKENS_OF_A_STEP, 0, False, id="the-queue-has-gone-with-them"),
        pytest.param(0, LEAST_TOKENS_OF_A_STEP, True, id="they-came-to-a-queue"),
    ],
)
def test_what_a_queue_is_for_is_told_by_the_prompts_of_its_time(
    then: int, now: int, closed: bool
) -> None:
    queued, idle = an_endpoint(waiting=6, running=4), an_endpoint()
    queued.load.waiting = 6
    queued.load.prefilling_tokens_at_reading, queued.load.prefilling_tokens = then, now
    found = unless_all_are_full([queued, idle], 0.98, lambda endpoint: endpoint is idle)
    assert list(found) == ([idle] if closed else [queued, idle])


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("waiting", "closed"), [(15, False), (16, True)])
def test_a_queue_is_long_for_what_the_engine_runs_at_a_time(
    waiting: int, closed: bool, known: bool
) -> None:
    queued, idle = an_endpoint(waiting=waiting, running=64), an_endpoint()
    queued.load.places = 64 if known else 0
    found = unless_all_are_full([queued, idle], 0.98, lambda endpoint: endpoint is idle)
    assert list(found) == ([idle] if closed else [queued, idle])


def test_who_has_room_for_a_short_queue_is_asked_for() -> None:
    queued = an_endpoint()
    queued.load.waiting, queued.load.places = 3, 4
    assert unless_all_are_full([queued], 0.8, lambda _: True) == [queued]
