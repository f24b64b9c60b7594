from __future__ import annotations

from base64 import b64encode

from epp.scheduling.plugins.session_affinity_scorer import SessionAffinityScorer
from epp.scheduling.sessions import Strategy
from tests.helpers.build import a_request, an_endpoint

POOL = [an_endpoint(name) for name in "abc"]


def test_the_endpoint_that_the_client_names_scores_one() -> None:
    scorer = SessionAffinityScorer()
    token = b64encode(b"default/b").decode()
    scores = scorer.score(scorer.new_state(), a_request(headers={"x-session-token": token}), POOL)
    assert scores == [0.0, 1.0, 0.0]
    assert scorer.score(scorer.new_state(), a_request(), POOL) == [0.0, 0.0, 0.0]


def test_the_endpoint_that_is_remembered_scores_one() -> None:
    scorer = SessionAffinityScorer(strategy=Strategy.SESSION_ID)
    state, request = scorer.new_state(), a_request(headers={"x-session-id": "s"})
    assert scorer.score(state, request, POOL) == [0.0, 0.0, 0.0]
    scorer.decided(state, request, POOL, POOL[2], 0.0)
    assert scorer.score(state, request, POOL) == [0.0, 0.0, 1.0]
