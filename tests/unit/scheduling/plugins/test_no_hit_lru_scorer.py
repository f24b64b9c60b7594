from __future__ import annotations

from collections.abc import Sequence

import pytest

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.plugins.no_hit_lru_scorer import ColdRequests, NoHitLruScorer
from tests.helpers.build import a_request, an_endpoint

POOL = [an_endpoint(name) for name in "abc"]
SCORER = NoHitLruScorer()


def place(state: ColdRequests, on: int, request: RequestFacts | None = None) -> None:
    SCORER.decided(state, request or a_request(), POOL, POOL[on], 0.0)


def scores(state: ColdRequests, endpoints: Sequence[Endpoint] = POOL) -> Sequence[float]:
    return SCORER.score(state, a_request(), endpoints)


def test_those_that_never_took_a_cold_request_come_first_in_order() -> None:
    state = SCORER.new_state()
    assert scores(state) == [1.0, 0.5, 0.0]
    place(state, 0)
    assert scores(state) == [0.0, 1.0, 0.5]


def test_then_those_that_took_one_the_longest_ago() -> None:
    state = SCORER.new_state()
    for on in (2, 0, 1):
        place(state, on)
    assert scores(state) == [0.5, 0.0, 1.0]
    place(state, 2)
    assert scores(state) == [1.0, 0.5, 0.0]


def test_only_those_that_can_be_picked_are_ranked() -> None:
    state = SCORER.new_state()
    for on in (0, 1, 2):
        place(state, on)
    assert scores(state, POOL[1:]) == [1.0, 0.0]
    assert scores(state, POOL[:1]) == [1.0]


def test_a_request_with_a_hit_prefers_none_and_is_not_remembered() -> None:
    state = SCORER.new_state()
    warm = a_request(prefix_tokens=64, cached_tokens={POOL[1]: 64})
    assert SCORER.score(state, warm, POOL) == [0.5, 0.5, 0.5]
    place(state, 0, warm)
    assert scores(state) == [1.0, 0.5, 0.0]
    # What has it cached cannot be picked, so for these it is cold.
    assert SCORER.score(state, warm, [POOL[0], POOL[2]]) == [1.0, 0.0]


def test_a_request_without_a_body_costs_no_cache() -> None:
    state = SCORER.new_state()
    place(state, 0, a_request(needs_room=False))
    assert scores(state) == [1.0, 0.5, 0.0]


@pytest.mark.parametrize(("size", "remembered"), [(2, 2), (0, 3), (-1, 3)])
def test_what_is_remembered_is_bounded(size: int, remembered: int) -> None:
    scorer = NoHitLruScorer(lru_size=size)
    state = scorer.new_state()
    for endpoint in POOL:
        scorer.decided(state, a_request(), POOL, endpoint, 0.0)
    assert len(state.last) == remembered
    assert POOL[2].authority in state.last
