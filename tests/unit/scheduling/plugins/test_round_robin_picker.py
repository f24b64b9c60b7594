from __future__ import annotations

import random
from collections.abc import Sequence

from epp.core.endpoint import Endpoint
from epp.scheduling.plugins.round_robin_picker import MAX_ENDPOINTS, RoundRobinPicker, Turns
from tests.helpers.build import a_request, an_endpoint

POOL = [an_endpoint(name) for name in "abcd"]
PICKER = RoundRobinPicker()


def turn(state: Turns, endpoints: Sequence[Endpoint]) -> str:
    picked, *_ = PICKER.pick(state, endpoints, [0.0] * len(endpoints), 1, random.Random(1))
    PICKER.decided(state, a_request(), endpoints, picked, 0.0)
    return picked.name


def test_each_has_its_turn() -> None:
    state = PICKER.new_state()
    assert "".join(turn(state, POOL) for _ in range(8)) == "abcdabcd"


def test_what_was_ranked_and_not_placed_takes_no_turn() -> None:
    state = PICKER.new_state()
    turn(state, POOL)
    for _ in range(3):
        picked = PICKER.pick(state, POOL, [0.0] * 4, 2, random.Random(1))
        assert [endpoint.name for endpoint in picked] == ["b", "c"]


def test_requests_for_different_endpoints_do_not_skew_each_other() -> None:
    state = PICKER.new_state()
    taken = [turn(state, POOL[:2]) + turn(state, POOL[2:]) for _ in range(4)]
    assert taken == ["ac", "bd", "ac", "bd"]


def test_one_that_comes_back_has_one_turn_and_not_all_it_missed() -> None:
    state = PICKER.new_state()
    for _ in range(6):
        turn(state, POOL[:2])
    assert "".join(turn(state, POOL[:3]) for _ in range(5)) == "cabca"


def test_what_is_remembered_is_bounded() -> None:
    state = PICKER.new_state()
    pool = [Endpoint(str(n), "10.0.0.1", n) for n in range(MAX_ENDPOINTS + 3)]
    for endpoint in pool:
        PICKER.decided(state, a_request(), [endpoint], endpoint, 0.0)
    assert len(state.last) == MAX_ENDPOINTS
    assert pool[0].authority not in state.last
    assert pool[-1].authority in state.last
