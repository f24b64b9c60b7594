from __future__ import annotations

from epp.scheduling.plugins.session_affinity_filter import SessionAffinityFilter
from epp.scheduling.sessions import Strategy
from tests.helpers.build import a_request, an_endpoint

POOL = [an_endpoint(name) for name in "abc"]


def test_only_the_endpoint_of_the_session_stays_while_it_is_there() -> None:
    filter_ = SessionAffinityFilter(strategy=Strategy.SESSION_ID)
    state, request = filter_.new_state(), a_request(headers={"x-session-id": "s"})
    assert filter_.keep(state, request, POOL) == POOL
    filter_.decided(state, request, POOL, POOL[1], 0.0)
    assert filter_.keep(state, request, POOL) == [POOL[1]]
    assert filter_.keep(state, request, [POOL[0], POOL[2]]) == [POOL[0], POOL[2]]
    assert filter_.keep(state, a_request(), POOL) == POOL


def test_requests_of_one_session_wait_for_the_same_endpoint() -> None:
    filter_ = SessionAffinityFilter(strategy=Strategy.SESSION_ID)
    one, two = (a_request(headers={"x-session-id": "s"}) for _ in range(2))
    other = a_request(headers={"x-session-id": "t"})
    assert filter_.fit_key(one) == filter_.fit_key(two) != filter_.fit_key(other)
    assert filter_.fit_key(a_request()) == filter_.fit_key(a_request())


def test_requests_whose_tokens_name_one_endpoint_wait_for_it_and_tokens_of_others_for_any() -> None:
    filter_ = SessionAffinityFilter()
    one, two = (a_request(headers=filter_.response_headers(POOL[0])) for _ in range(2))
    foreign = a_request(headers={"x-session-token": "nobody here made this"})
    assert filter_.fit_key(one) == filter_.fit_key(two) != filter_.fit_key(a_request())
    assert filter_.fit_key(foreign) == filter_.fit_key(a_request())
