from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.core.decision import Endpoints, Lease, Outcome, Placed, Waiting, record_of
from epp.core.endpoint import Endpoint
from epp.core.refusal import Reason, Refused
from epp.core.request import RequestFacts, allows
from epp.core.stopwatch import Timing
from epp.datalayer.ledger import Ledger
from epp.flowcontrol.controller import FlowController
from epp.flowcontrol.settings import BandSettings, Fairness, FlowControlSettings, Ordering

SETTINGS = FlowControlSettings(waits_for_endpoints=True, sheddable_waits=True)


def a_request(**fields: object) -> RequestFacts:
    return RequestFacts("r", **fields)  # type: ignore[arg-type]


@dataclass
class Desk:
    """A controller over endpoints of one place each."""

    settings: FlowControlSettings = SETTINGS
    pods: int = 2
    ledger: Ledger = field(default_factory=Ledger)
    held: dict[RequestFacts, Lease] = field(default_factory=dict)
    attempts: int = 0
    timing: Timing | None = None
    looks: int = 0  # whether there is room

    def __post_init__(self) -> None:
        self.endpoints = tuple(Endpoint(f"pod-{n}", f"10.0.0.{n}", 80) for n in range(self.pods))
        self.controller = FlowController(
            self.settings,
            self,
            fit_class=lambda facts: facts.subset,
            pool_is_empty=lambda: not self.endpoints,
            timing=self.timing,
        )

    def pool(self) -> Sequence[Endpoint]:
        return self.endpoints

    def has_room(self, endpoints: Sequence[Endpoint], now: float) -> bool:
        self.looks += 1
        return any(endpoint.load.requests < 1 for endpoint in endpoints)

    def __call__(self, facts: RequestFacts, now: float) -> Placed | None:
        self.attempts += 1
        fitting = [endpoint for endpoint in self.endpoints if allows(facts.subset, endpoint)]
        for endpoint in fitting:
            if endpoint.load.requests < 1:
                lease = self.held[facts] = self.ledger.reserve(endpoint, 1, 1)
                return Placed(Endpoints((endpoint,), (lease,)), record_of(facts, now))
        facts.full = fitting
        return None

    def reconfigure(
        self, settings: FlowControlSettings, fit_class: Callable[[RequestFacts], Hashable]
    ) -> None:
        self.controller.reconfigure(settings, self, fit_class)

    def preview(self, facts: RequestFacts, now: float) -> int | Reason | None:
        placeable = any(
            allows(facts.subset, endpoint) and endpoint.load.requests < 1
            for endpoint in self.endpoints
        )
        try:
            return self.controller.preview(facts, now, placeable=placeable)
        except Refused as refusal:
            return refusal.reason

    def place(self, facts: RequestFacts, now: float = 0.0) -> Outcome | Waiting:
        return self.controller.place(facts, now)

    def finish(self, facts: RequestFacts, now: float = 0.0) -> list[tuple[RequestFacts, Outcome]]:
        self.controller.abandon(facts)
        if lease := self.held.pop(facts, None):
            self.ledger.release(lease)
        return self.controller.something_changed(now)


def reason_of(act: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as caught:
        act()
    return caught.value.reason


def test_a_request_that_fits_never_queues() -> None:
    desk = Desk()
    assert isinstance(desk.place(a_request()), Placed)
    assert len(desk.controller.room) == 0


def test_the_place_that_becomes_free_goes_to_the_highest_priority() -> None:
    desk = Desk(pods=1)
    running, low, high = a_request(), a_request(priority=0), a_request(priority=9)
    desk.place(running)
    assert [type(desk.place(facts)) for facts in (low, high)] == [Waiting, Waiting]
    assert [facts for facts, _ in desk.finish(running)] == [high]
    assert [facts for facts, _ in desk.finish(high)] == [low]


def test_a_newcomer_does_not_overtake_who_waits_for_the_same() -> None:
    desk = Desk(pods=1)
    running, first = a_request(), a_request()
    desk.place(running)
    desk.place(first)
    desk.ledger.release(desk.held.pop(running))  # freed, but nobody has been told yet
    assert isinstance(desk.place(a_request()), Waiting)
    assert [facts for facts, _ in desk.controller.something_changed(0.0)] == [first]


def test_flows_take_turns_for_the_places_that_become_free() -> None:
    settings = replace(SETTINGS, default_band=BandSettings(fairness=Fairness.ROUND_ROBIN))
    desk = Desk(settings, pods=1)
    running = a_request()
    desk.place(running)
    greedy = [a_request(flow="greedy") for _ in range(3)]
    modest = [a_request(flow="modest") for _ in range(2)]
    for facts in (*greedy, *modest):
        assert isinstance(desk.place(facts), Waiting)
    order = []
    while outcomes := desk.finish(running):
        [(running, _)] = outcomes
        order.append(running)
    assert order == [greedy[0], modest[0], greedy[1], modest[1], greedy[2]]


def test_the_place_that_becomes_free_goes_to_whose_first_token_is_due_first() -> None:
    settings = replace(SETTINGS, default_band=BandSettings(ordering=Ordering.SLO_DEADLINE))
    desk = Desk(settings, pods=1)
    running, patient, urgent = a_request(), a_request(), a_request(ttft_slo_seconds=0.5)
    for facts in (running, patient, urgent):
        desk.place(facts)
    assert [facts for facts, _ in desk.finish(running)] == [urgent]


def test_a_head_that_fits_nowhere_stops_nobody_else() -> None:
    desk = Desk(pods=1)
    running, picky, easy = a_request(), a_request(subset=frozenset({"10.9.9.9:1"})), a_request()
    for facts in (running, picky, easy):
        desk.place(facts)
    assert [facts for facts, _ in desk.finish(running)] == [easy]


def test_attempts_per_event_are_bounded_by_places_freed_plus_classes() -> None:
    desk = Desk(pods=1)
    running = a_request()
    desk.place(running)
    for n in range(300):
        desk.place(a_request(subset=frozenset({"10.0.0.0", f"class-{n % 3}"})))
    desk.attempts = 0
    desk.finish(running)
    assert desk.attempts <= 1 + 3


def many_waiting(desk: Desk) -> list[RequestFacts]:
    """A class each, all for the first endpoint, which is full."""
    desk.place(a_request(subset=frozenset({"10.0.0.0"})))
    waiting = [a_request(subset=frozenset({"10.0.0.0", f"class-{n}"})) for n in range(400)]
    for facts in waiting:
        desk.place(facts)
    desk.attempts = desk.looks = 0
    return waiting


def settled(desk: Desk, now: float = 0.0) -> tuple[list[RequestFacts], int]:
    """Who had an outcome until nothing is left to do, and after how many calls."""
    told: list[RequestFacts] = []
    for calls in range(1, 500):
        told += [facts for facts, _ in desk.controller.something_changed(now)]
        if (deadline := desk.controller.next_deadline()) is None or deadline > now:
            return told, calls
    raise AssertionError("it never ends")


def test_an_event_is_cheap_however_many_classes_wait_for_the_same() -> None:
    desk = Desk()
    many_waiting(desk)
    assert settled(desk) == ([], 1)
    assert desk.attempts == 7
    assert desk.looks <= 1


def test_the_place_that_becomes_free_costs_one_attempt_more() -> None:
    desk = Desk()
    waiting = many_waiting(desk)
    [running] = desk.held
    assert [facts for facts, _ in desk.finish(running)] == [waiting[0]]
    assert desk.attempts <= 1 + 7


def test_a_search_that_takes_long_is_left_to_later_calls() -> None:
    desk = Desk()
    waiting = many_waiting(desk)
    desk.endpoints += (Endpoint("new", "10.0.0.9", 80),)  # all may fit it
    assert settled(desk) == ([], -(-len(waiting) // 16))
    assert desk.attempts == len(waiting)
    assert settled(desk) == ([], 1)


def test_room_that_comes_during_a_long_search_is_seen() -> None:
    desk = Desk()
    waiting = many_waiting(desk)
    [running] = desk.held
    desk.endpoints += (Endpoint("new", "10.0.0.9", 80),)
    assert desk.controller.something_changed(0.0) == []
    assert desk.controller.next_deadline() == 0.0
    assert [facts for facts, _ in desk.finish(running)] == [waiting[0]]


def test_nothing_is_left_to_do_when_all_who_wait_have_gone() -> None:
    desk = Desk()
    waiting = many_waiting(desk)
    desk.endpoints += (Endpoint("new", "10.0.0.9", 80),)
    desk.controller.something_changed(0.0)
    for facts in waiting:
        desk.controller.abandon(facts)
    assert desk.controller.next_deadline() is None
    assert settled(desk) == ([], 1)


def test_who_fits_elsewhere_by_now_is_found_though_no_room_came() -> None:
    desk = Desk()
    waiting = many_waiting(desk)
    waiting[7].subset = frozenset({"10.0.0.1"})  # as with a filter that looks at loads
    for event in range(400 // 7 + 1):
        if placed := settled(desk, float(event))[0]:
            break
    assert placed == [waiting[7]]


def test_a_crowd_that_fits_at_once_is_placed_in_order_in_several_calls() -> None:
    desk = Desk(pods=0)
    waiting = [a_request() for _ in range(40)]
    for facts in waiting:
        desk.place(facts)
    desk.endpoints = tuple(Endpoint(f"pod-{n}", f"10.0.0.{n}", 80) for n in range(40))
    placed, calls = settled(desk)
    assert placed == waiting
    assert calls > 1


def test_a_deadline_is_a_refusal_with_advice() -> None:
    desk = Desk(FlowControlSettings(request_ttl_seconds=5.0), pods=1)
    desk.place(a_request(), now=10.0)
    late = a_request()
    assert desk.place(late, now=10.0) == Waiting(610.0)
    assert desk.controller.next_deadline() == 15.0
    assert desk.controller.something_changed(14.9) == []
    [(facts, outcome)] = desk.controller.something_changed(15.0)
    assert facts is late
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.TTL_EXPIRED
    assert outcome.retry_after_seconds is not None


def test_no_request_waits_longer_than_the_hard_limit() -> None:
    settings = FlowControlSettings(request_ttl_seconds=0.0, max_wait_seconds=30.0)
    desk = Desk(settings, pods=1)
    desk.place(a_request())
    assert desk.place(a_request(), now=1.0) == Waiting(31.0)
    assert desk.controller.next_deadline() == 31.0


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"default_band": BandSettings(max_requests=2)}, id="band-requests"),
        pytest.param({"default_band": BandSettings(max_bytes=20)}, id="band-bytes"),
        pytest.param({"max_requests": 2}, id="all-requests"),
        pytest.param({"max_bytes": 20}, id="all-bytes"),
    ],
)
def test_a_limit_may_be_reached_and_not_passed(settings: dict[str, object]) -> None:
    desk = Desk(FlowControlSettings(**settings), pods=1)  # type: ignore[arg-type]
    desk.place(a_request())
    for _ in range(2):
        assert isinstance(desk.place(a_request(size_bytes=10)), Waiting)
    assert reason_of(lambda: desk.place(a_request(size_bytes=10))) is Reason.SATURATED


@pytest.mark.parametrize(
    "settings",
    [FlowControlSettings(max_requests=3), FlowControlSettings(max_bytes=30)],
    ids=["requests", "bytes"],
)
def test_who_came_last_at_the_lowest_priority_makes_room_for_a_higher_one(
    settings: FlowControlSettings,
) -> None:
    desk = Desk(settings, pods=1)
    desk.place(a_request(priority=5))
    waiting = [a_request(priority=priority, size_bytes=10) for priority in (1, 0, 0)]
    for facts in waiting:
        desk.place(facts)
    assert isinstance(desk.place(a_request(priority=1, size_bytes=10), now=2.0), Waiting)
    assert desk.controller.next_deadline() == 2.0  # it is told at once
    [(facts, outcome)] = desk.controller.something_changed(2.0)
    assert facts is waiting[2]
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.SATURATED
    assert outcome.retry_after_seconds is not None
    assert desk.controller.something_changed(2.0) == []
    assert isinstance(desk.place(a_request(priority=1, size_bytes=10)), Waiting)
    assert reason_of(lambda: desk.place(a_request(priority=1, size_bytes=10))) is Reason.SATURATED
    assert reason_of(lambda: desk.place(a_request(priority=0, size_bytes=10))) is Reason.SATURATED
    assert len(desk.controller.room) == 3


def test_a_large_request_displaces_several_and_nobody_where_that_is_not_enough() -> None:
    desk = Desk(FlowControlSettings(max_bytes=100), pods=1)
    desk.place(a_request(priority=5))
    small = [a_request(size_bytes=2) for _ in range(40)]
    for facts in (*small, a_request(priority=1, size_bytes=20)):
        desk.place(facts)
    assert reason_of(lambda: desk.place(a_request(priority=1, size_bytes=81))) is Reason.SATURATED
    assert len(desk.controller.room) == 41
    assert isinstance(desk.place(a_request(priority=1, size_bytes=80)), Waiting)
    told, calls = settled(desk)
    assert told == small[::-1]
    assert calls == 3  # not all in one go


def test_lower_limits_have_one_go_for_one_who_comes() -> None:
    desk = Desk(pods=1)
    for _ in range(6):
        desk.place(a_request(size_bytes=10))
    desk.reconfigure(FlowControlSettings(max_requests=2, max_bytes=20), lambda facts: facts.subset)
    assert isinstance(desk.place(a_request(priority=1, size_bytes=10)), Waiting)
    assert len(settled(desk)[0]) == 1
    assert len(desk.controller.room) == 5


def test_the_limit_of_a_band_displaces_nobody() -> None:
    desk = Desk(FlowControlSettings(bands={7: BandSettings(max_requests=1)}), pods=1)
    for priority in (7, 7, 0):
        desk.place(a_request(priority=priority))
    assert reason_of(lambda: desk.place(a_request(priority=7))) is Reason.SATURATED
    assert len(desk.controller.room) == 2


def test_a_displaced_request_whose_client_leaves_is_told_nothing() -> None:
    desk = Desk(FlowControlSettings(max_requests=1), pods=1)
    low = a_request()
    for facts in (a_request(), low, a_request(priority=1)):
        desk.place(facts)
    desk.controller.abandon(low)
    assert desk.controller.something_changed(0.0) == []


def test_closing_tells_those_who_were_displaced_too() -> None:
    desk = Desk(FlowControlSettings(max_requests=1), pods=1)
    low, high = a_request(), a_request(priority=1)
    for facts in (a_request(), low, high):
        desk.place(facts)
    assert [facts for facts, _ in desk.controller.close()] == [low, high]
    assert desk.controller.next_deadline() is None


def test_who_is_displaced_while_the_pool_is_empty_is_told_so() -> None:
    desk = Desk(FlowControlSettings(max_requests=1, waits_for_endpoints=True), pods=0)
    for priority in (0, 1):
        desk.place(a_request(priority=priority))
    [(_, outcome)] = desk.controller.something_changed(0.0)
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.NO_ENDPOINTS


def test_who_cancels_frees_the_place_in_the_queue_at_once() -> None:
    desk = Desk(FlowControlSettings(max_requests=1), pods=1)
    desk.place(a_request())
    waiter = a_request()
    desk.place(waiter)
    desk.controller.abandon(waiter)
    assert isinstance(desk.place(a_request()), Waiting)


def test_an_empty_pool_refuses_at_once_unless_waiting_for_endpoints_is_on() -> None:
    desk = Desk(FlowControlSettings(), pods=0)
    assert reason_of(lambda: desk.place(a_request())) is Reason.NO_ENDPOINTS


def test_a_request_that_waits_for_endpoints_goes_when_one_comes() -> None:
    desk = Desk(pods=0)
    waiter = a_request()
    assert isinstance(desk.place(waiter), Waiting)
    desk.endpoints += (Endpoint("new", "10.0.0.9", 80),)
    assert [facts for facts, _ in desk.controller.something_changed(1.0)] == [waiter]


def test_the_budget_starts_anew_when_the_pool_fills_or_empties() -> None:
    settings = FlowControlSettings(
        waits_for_endpoints=True, no_endpoint_ttl_seconds=10.0, request_ttl_seconds=20.0
    )
    desk = Desk(settings, pods=0)
    waiter = a_request(subset=frozenset({"nobody"}))
    assert desk.place(waiter, now=0.0) == Waiting(600.0)
    assert desk.controller.next_deadline() == 10.0
    desk.endpoints += (Endpoint("new", "10.0.0.9", 80),)
    desk.controller.something_changed(9.0)
    assert desk.controller.next_deadline() == 29.0


def test_expiry_with_an_empty_pool_is_a_lack_of_endpoints() -> None:
    desk = Desk(FlowControlSettings(waits_for_endpoints=True, no_endpoint_ttl_seconds=5), pods=0)
    desk.place(a_request(), now=0.0)
    [(_, outcome)] = desk.controller.something_changed(5.0)
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.NO_ENDPOINTS


def test_sheddable_requests_are_refused_rather_than_left_to_wait() -> None:
    desk = Desk(FlowControlSettings(), pods=1)
    desk.place(a_request())
    assert reason_of(lambda: desk.place(a_request(priority=-1))) is Reason.SATURATED


def test_a_request_without_a_body_is_placed_past_the_queue_or_refused() -> None:
    desk = Desk(pods=1)
    desk.place(a_request())
    desk.place(a_request())
    with pytest.raises(Refused):
        desk.place(a_request(needs_room=False))


def test_closing_refuses_all_who_wait_and_all_who_come() -> None:
    desk = Desk(pods=1)
    desk.place(a_request())
    desk.place(a_request())
    [(_, outcome)] = desk.controller.close()
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.SHUTTING_DOWN
    assert reason_of(lambda: desk.place(a_request())) is Reason.SHUTTING_DOWN


def test_advice_follows_the_measured_drain_rate() -> None:
    desk = Desk(FlowControlSettings(max_requests=20), pods=1)
    running = a_request()
    desk.place(running)
    for _ in range(20):
        desk.place(a_request())
    for second in range(1, 6):
        [(running, _)] = desk.finish(running, now=float(second))
    for _ in range(5):
        desk.place(a_request(), now=6.0)
    with pytest.raises(Refused) as caught:
        desk.place(a_request(), now=6.0)
    assert caught.value.retry_after_seconds == pytest.approx(20.0)  # 20 wait, one a second


def test_quiet_times_do_not_make_the_advice_longer() -> None:
    desk, now = Desk(FlowControlSettings(max_requests=20), pods=1), 0.0
    running = a_request()
    desk.place(running, now)
    for _ in range(4):  # three wait, one a second goes, and then nobody comes for a while
        for _ in range(3):
            desk.place(a_request(), now)
        for _ in range(3):
            now += 1.0
            [(running, _)] = desk.finish(running, now)
        now += 15.0
    for _ in range(20):
        desk.place(a_request(), now)
    with pytest.raises(Refused) as caught:
        desk.place(a_request(), now)
    assert caught.value.retry_after_seconds == pytest.approx(20.0)


def test_other_budgets_hold_for_those_who_wait_already() -> None:
    desk = Desk(FlowControlSettings(request_ttl_seconds=60.0), pods=1)
    for _ in range(2):
        desk.place(a_request(), now=5.0)
    desk.reconfigure(FlowControlSettings(request_ttl_seconds=20.0), lambda facts: facts.subset)
    assert desk.controller.next_deadline() == 25.0
    desk.reconfigure(FlowControlSettings(request_ttl_seconds=0.0), lambda facts: facts.subset)
    assert desk.controller.next_deadline() == 605.0  # never beyond what the gateway was told


def test_lower_limits_turn_away_who_comes_and_not_who_waits() -> None:
    desk = Desk(pods=1)
    first, waiting = a_request(), [a_request() for _ in range(3)]
    for facts in (first, *waiting):
        desk.place(facts)
    desk.reconfigure(FlowControlSettings(max_requests=1), lambda facts: facts.subset)
    assert reason_of(lambda: desk.place(a_request())) is Reason.SATURATED
    served = first
    for expected in waiting:  # in the order in which they came
        [(served, _)] = desk.finish(served)
        assert served is expected


def test_who_waits_is_classed_anew_and_keeps_the_place_in_line() -> None:
    desk = Desk(pods=1)
    first, waiting = a_request(), [a_request(size_bytes=n % 3) for n in range(7)]
    for facts in (first, *waiting):
        desk.place(facts)
    desk.reconfigure(SETTINGS, lambda facts: facts.size_bytes)
    desk.attempts = 0
    assert desk.controller.something_changed(0.0) == []
    assert desk.attempts == 3  # one for each of the classes
    served = first
    for expected in waiting:
        [(served, _)] = desk.finish(served)
        assert served is expected


def test_a_class_that_cannot_be_told_changes_nothing() -> None:
    desk = Desk(pods=1)
    first, second, third = a_request(), a_request(), a_request(size_bytes=1)
    for facts in (first, second, third):
        desk.place(facts)

    def broken(facts: RequestFacts) -> Hashable:
        return 1 // (1 - facts.size_bytes)

    with pytest.raises(ZeroDivisionError):
        desk.reconfigure(FlowControlSettings(request_ttl_seconds=1.0), broken)
    assert desk.controller.next_deadline() == 60.0
    assert [facts for facts, _ in desk.finish(first)] == [second]
    assert [facts for facts, _ in desk.finish(second)] == [third]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["place", "finish", "tick", "reconfigure"]),
        st.integers(0, 30),
        st.integers(-1, 2),
    ),
    max_size=60,
)


@given(STEPS)
def test_nothing_is_lost_doubled_or_placed_beyond_the_limit(
    steps: list[tuple[str, int, int]],
) -> None:
    settings = FlowControlSettings(max_requests=5, request_ttl_seconds=10.0, sheddable_waits=True)
    desk, live, now = Desk(settings, pods=2), [], 0.0
    waiting: set[RequestFacts] = set()
    placed: set[RequestFacts] = set()
    refused: list[tuple[object, Reason]] = []  # foreseen, and so it came

    def settle(outcomes: list[tuple[RequestFacts, Outcome]]) -> None:
        for facts, outcome in outcomes:
            waiting.remove(facts)
            if isinstance(outcome, Placed):
                placed.add(facts)

    for kind, number, priority in steps:
        now += 1.0
        if kind == "place":
            facts = a_request(priority=priority)
            foreseen = desk.preview(facts, now)
            try:
                outcome = desk.place(facts, now)
            except Refused as refusal:
                refused.append((foreseen, refusal.reason))
                continue
            assert (foreseen is None) is isinstance(outcome, Placed)
            if foreseen is not None:
                assert foreseen == sum(one.priority >= priority for one in waiting)
            live.append(facts)
            (placed if isinstance(outcome, Placed) else waiting).add(facts)
            settle(desk.controller.something_changed(now))  # of those who made room for it
        elif kind == "finish" and live:
            facts = live.pop(number % len(live))
            waiting.discard(facts)
            placed.discard(facts)
            settle(desk.finish(facts, now))
        elif kind == "reconfigure":
            desk.reconfigure(
                replace(settings, request_ttl_seconds=float(number)),
                lambda facts, modulus=priority + 3: facts.priority % modulus,  # type: ignore[misc]
            )
        else:
            settle(desk.controller.something_changed(now))
        assert all(foreseen is came for foreseen, came in refused)
        assert len(desk.controller.room) == len(waiting)
        assert desk.ledger.leases_held == len(placed) <= 2


def test_fullness_is_of_the_limits_in_force() -> None:
    bands = {5: BandSettings(max_requests=4, max_bytes=1000)}
    desk = Desk(replace(SETTINGS, default_band=BandSettings(10, 100), bands=bands), pods=0)
    for priority, size in ((5, 10), (5, 20), (7, 50)):
        desk.place(a_request(priority=priority, size_bytes=size))
    full = desk.controller.fullness([3])
    assert dict(full.bands) == {7: (0.1, 0.5), 5: (0.5, 0.03), 3: (0, 0), 0: (0, 0)}
    assert (full.requests, full.bytes) == (None, None)
    limits = replace(SETTINGS, max_requests=6, max_bytes=160)
    desk.reconfigure(limits, lambda facts: facts.subset)
    full = desk.controller.fullness([])
    assert (full.requests, full.bytes) == (0.5, 0.5)


def test_passes_over_those_who_wait_are_timed_and_no_others() -> None:
    seen: list[float] = []
    times = iter((1.0, 1.5))
    desk = Desk(pods=1, timing=Timing(lambda: next(times), seen.append))
    running, waiting = a_request(), a_request()
    desk.place(running)
    assert desk.controller.something_changed(0.5) == []
    desk.place(waiting)
    assert [facts for facts, _ in desk.finish(running)] == [waiting]
    desk.finish(waiting)
    assert seen == [0.5]
