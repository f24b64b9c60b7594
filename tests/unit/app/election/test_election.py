from __future__ import annotations

from math import inf

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from epp.app.election.election import Look, Rest, Write
from tests.unit.app.election.model import Candidate, LeaseServer

LEASE, DEADLINE, RETRY = 15.0, 10.0, 2.0
LONGEST_RETRY = RETRY * 2.2


@pytest.fixture
def server() -> LeaseServer:
    return LeaseServer()


def leads(candidate: Candidate, now: float) -> bool:
    return candidate.election.leading(now)


def lead(candidate: Candidate, now: float) -> None:
    """Look, then write."""
    candidate.round(now)
    candidate.round(now)
    assert leads(candidate, now)


def run(candidates: list[Candidate], start: float, seconds: float, step: float = 0.1) -> float:
    """Plays on without any loss. Returns the time at the end."""
    now = start
    while now < start + seconds:
        for candidate in candidates:
            candidate.round(now)
        now += step
    return now


def test_the_first_creates_the_lease(server: LeaseServer) -> None:
    first = Candidate("a", server)
    assert first.tick(0.0) == Look()
    first.round(0.0)
    assert isinstance(first.tick(0.0), Write)
    first.round(0.0)
    assert leads(first, 0.0)
    assert server.document is not None
    assert server.document["spec"] == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-01-01T00:00:00.000000Z",
        "renewTime": "2026-01-01T00:00:00.000000Z",
        "leaseTransitions": 0,
    }
    assert first.tick(0.0) == Rest(RETRY)


def test_the_leader_renews_without_looking_and_keeps_when_it_became_leader(
    server: LeaseServer,
) -> None:
    first = Candidate("a", server)
    lead(first, 0.0)
    assert isinstance(first.tick(RETRY), Write)
    first.round(RETRY)
    assert server.document is not None
    assert server.document["spec"]["acquireTime"] == "2026-01-01T00:00:00.000000Z"
    assert server.document["spec"]["renewTime"] == "2026-01-01T00:00:02.000000Z"
    assert leads(first, RETRY + DEADLINE - 0.001)


def test_a_leader_without_an_answer_is_one_no_more_at_the_deadline(server: LeaseServer) -> None:
    first = Candidate("a", server)
    lead(first, 0.0)
    first.begin(RETRY)
    first.arrive()
    first.lose(RETRY + 5)
    assert leads(first, DEADLINE - 0.001)
    assert not leads(first, DEADLINE)


def test_an_answer_counts_from_when_the_call_began(server: LeaseServer) -> None:
    first = Candidate("a", server)
    lead(first, 0.0)
    first.begin(RETRY)
    first.arrive()
    first.finish(RETRY + DEADLINE + 1)
    assert not leads(first, RETRY + DEADLINE + 1)


@pytest.mark.parametrize("skew", [-3600.0, 0.0, 3600.0])
def test_another_takes_over_a_whole_lease_after_the_last_change_that_it_saw(
    server: LeaseServer, skew: float
) -> None:
    """Whatever the clocks of the machines say."""
    first, second = Candidate("a", server, skew=skew), Candidate("b", server)
    lead(first, 0.0)
    second.round(1.0)
    now = 1.0
    while not leads(second, now):
        assert now <= 1.0 + LEASE + 2 * LONGEST_RETRY
        now += 0.05
        second.round(now)
    assert now >= 1.0 + LEASE
    assert server.document is not None
    assert server.document["spec"]["leaseTransitions"] == 1


def test_a_candidate_waits_as_long_as_the_lease_itself_says(server: LeaseServer) -> None:
    first, second = Candidate("a", server), Candidate("b", server)
    lead(first, 0.0)
    assert server.document is not None
    server.document["spec"]["leaseDurationSeconds"] = 60
    run([second], 0.0, 59.0)
    assert second.election.holder == "a"
    run([second], 59.0, 10.0)
    assert second.election.holder == "b"


def test_a_released_lease_is_taken_at_once(server: LeaseServer) -> None:
    first, second = Candidate("a", server), Candidate("b", server)
    lead(first, 0.0)
    run([second], 0.0, 1.0)
    first.leave()
    assert not leads(first, 0.0)
    first.round(1.0)
    assert server.document is not None
    assert server.document["spec"]["holderIdentity"] == ""
    assert server.document["spec"]["leaseDurationSeconds"] == 1
    assert first.tick(1.0) == Rest(inf)
    now = run([second], 1.0, LONGEST_RETRY + 0.1)
    assert leads(second, now)


def test_who_leaves_and_does_not_hold_it_writes_nothing(server: LeaseServer) -> None:
    first, second = Candidate("a", server), Candidate("b", server)
    lead(first, 0.0)
    second.round(0.0)
    second.leave()
    assert second.tick(0.0) == Rest(inf)


def test_who_leaves_while_a_renewal_is_on_its_way_releases_what_came_of_it(
    server: LeaseServer,
) -> None:
    first = Candidate("a", server)
    lead(first, 0.0)
    first.begin(RETRY)
    first.leave()
    first.arrive()
    first.finish(RETRY)
    assert not leads(first, RETRY)
    first.round(RETRY)
    assert server.document is not None
    assert server.document["spec"]["holderIdentity"] == ""


def test_of_two_that_create_it_one_wins(server: LeaseServer) -> None:
    first, second = Candidate("a", server), Candidate("b", server)
    for candidate in (first, second):
        candidate.round(0.0)
    for candidate in (first, second):
        candidate.begin(0.0)
    for candidate in (first, second):
        candidate.arrive()
        candidate.finish(0.0)
    assert [leads(c, 0.0) for c in (first, second)] == [True, False]
    assert isinstance(second.tick(0.0), Rest)


def test_a_leader_whose_object_was_edited_looks_and_goes_on(server: LeaseServer) -> None:
    first = Candidate("a", server)
    lead(first, 0.0)
    assert server.document is not None
    server.document["metadata"]["resourceVersion"] = "edited"
    first.round(RETRY)  # a conflict
    assert leads(first, RETRY)
    first.round(RETRY)
    first.round(RETRY)
    assert first.election.held_until == RETRY + DEADLINE


def test_a_leader_that_sees_another_holder_is_one_no_more(server: LeaseServer) -> None:
    first = Candidate("a", server)
    lead(first, 0.0)
    assert server.document is not None
    server.document["metadata"]["resourceVersion"] = "edited"
    server.document["spec"]["holderIdentity"] = "b"
    first.round(RETRY)
    first.round(RETRY)
    assert not leads(first, RETRY)


def test_a_deleted_lease_is_made_again(server: LeaseServer) -> None:
    first = Candidate("a", server)
    lead(first, 0.0)
    server.document = None
    now = run([first], RETRY, 1.0)
    assert leads(first, now)
    assert server.document is not None


def test_candidates_do_not_come_all_at_once(server: LeaseServer) -> None:
    lead(Candidate("leader", server), 0.0)
    due = set()
    for n in range(20):
        candidate = Candidate(f"c{n}", server, seed=n)
        candidate.round(0.0)
        step = candidate.tick(0.0)
        assert isinstance(step, Rest)
        assert RETRY <= step.until <= LONGEST_RETRY
        due.add(step.until)
    assert len(due) == 20


class AnyInterleaving(RuleBasedStateMachine):
    """Calls overtake each other, arrive late or never; answers are lost; candidates leave."""

    candidates = Bundle("candidates")

    @initialize()
    def start(self) -> None:
        self.now = 0.0
        self.server = LeaseServer()
        self.all: list[Candidate] = []

    @rule(target=candidates, skew=st.floats(-1e5, 1e5))
    def join(self, skew: float) -> Candidate:
        if len(self.all) >= 3:
            return self.all[0]
        candidate = Candidate(f"c{len(self.all)}", self.server, len(self.all), skew)
        self.all.append(candidate)
        return candidate

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.5, 2.0, 4.0, 9.99, 10.0, 14.99, 15.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(candidate=candidates)
    def call(self, candidate: Candidate) -> None:
        candidate.begin(self.now)

    @rule(candidate=candidates)
    def arrive(self, candidate: Candidate) -> None:
        candidate.arrive()

    @rule(candidate=candidates)
    def answer(self, candidate: Candidate) -> None:
        candidate.finish(self.now)

    @rule(candidate=candidates)
    def lose(self, candidate: Candidate) -> None:
        candidate.lose(self.now)

    @rule(candidate=candidates)
    def round(self, candidate: Candidate) -> None:
        candidate.round(self.now)
        candidate.round(self.now)

    @rule(candidate=candidates)
    def leave(self, candidate: Candidate) -> None:
        candidate.leave()

    @invariant()
    def never_two_leaders(self) -> None:
        leaders = [c.name for c in getattr(self, "all", []) if leads(c, self.now)]
        assert len(leaders) <= 1, leaders

    def teardown(self) -> None:
        """However it went: once all is well again, someone leads, if there is anyone left."""
        staying = [c for c in getattr(self, "all", []) if not c.left]
        for candidate in staying:
            candidate.lose(self.now)
        if staying:
            now = run(staying, self.now, LEASE + 3 * LONGEST_RETRY, step=0.25)
            assert sum(leads(c, now) for c in staying) == 1


TestAnyInterleaving = AnyInterleaving.TestCase
TestAnyInterleaving.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
