"""Whatever is passed over and however long a search is, who is placed is who should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.core.decision import Endpoints, Lease, Placed, Waiting, record_of
from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts, allows
from epp.flowcontrol.controller import FlowController
from epp.flowcontrol.settings import BandSettings, Fairness, FlowControlSettings, Ordering

ENDPOINTS = tuple(Endpoint(f"pod-{n}", f"10.0.0.{n}", 80) for n in range(5))
Pick = tuple[RequestFacts, Endpoint]


def fits(facts: RequestFacts, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    return [endpoint for endpoint in endpoints if allows(facts.subset, endpoint)]


@dataclass
class World:
    """Where there is room, and what runs there."""

    places: dict[Endpoint, int]
    reachable: tuple[Endpoint, ...] = ENDPOINTS
    running: list[Pick] = field(default_factory=list)

    def room(self, facts: RequestFacts) -> Endpoint | None:
        """The first that has some for it."""
        for endpoint in fits(facts, self.reachable):
            taken = sum(where is endpoint for _, where in self.running)
            if taken < self.places[endpoint]:
                return endpoint
        return None


@dataclass
class Naive:
    """Sorts all who wait for every place."""

    world: World
    band: BandSettings
    waiting: list[RequestFacts] = field(default_factory=list)
    turns: list[tuple[int, str]] = field(default_factory=list)  # flows by priority, in turn

    def arrive(self, facts: RequestFacts) -> list[Pick]:
        behind = any(
            one.model == facts.model and one.priority >= facts.priority for one in self.waiting
        )
        if not behind and (endpoint := self.world.room(facts)) is not None:
            self.world.running.append((facts, endpoint))
            return [(facts, endpoint)]
        self.waiting.append(facts)
        if (turn := (facts.priority, facts.flow)) not in self.turns:
            self.turns.append(turn)
        return []

    def leave(self, facts: RequestFacts) -> None:
        self.waiting.remove(facts)
        turn = (facts.priority, facts.flow)
        if not any((one.priority, one.flow) == turn for one in self.waiting):
            self.turns.remove(turn)

    def event(self) -> list[Pick]:
        picks: list[Pick] = []
        while True:
            for facts in sorted(self.waiting, key=self.order):
                if (endpoint := self.world.room(facts)) is not None:
                    break
            else:
                return picks
            turn = (facts.priority, facts.flow)
            self.turns.remove(turn)
            self.turns.append(turn)
            self.leave(facts)
            self.world.running.append((facts, endpoint))
            picks.append((facts, endpoint))

    def order(self, facts: RequestFacts) -> tuple[int, int, float, float, int]:
        takes_turns = self.band.fairness is Fairness.ROUND_ROBIN
        by_slo = self.band.ordering is Ordering.SLO_DEADLINE
        return (
            -facts.priority,
            self.turns.index((facts.priority, facts.flow)) if takes_turns else 0,
            facts.received_at + facts.ttft_slo_seconds if by_slo else 0.0,
            facts.received_at if by_slo else 0.0,
            self.waiting.index(facts),
        )


@dataclass
class Real:
    """The controller, called again as long as it asks for it."""

    world: World
    band: BandSettings
    most_attempts: int = 0  # of one call
    attempts: int = 0

    def __post_init__(self) -> None:
        settings = FlowControlSettings(
            request_ttl_seconds=0.0,
            waits_for_endpoints=True,
            default_band=self.band,
        )
        self.controller = FlowController(
            settings, self, lambda facts: facts.model, lambda: not self.world.reachable
        )

    def pool(self) -> Sequence[Endpoint]:
        return self.world.reachable

    def has_room(self, endpoints: Sequence[Endpoint], now: float) -> bool:
        anywhere = RequestFacts("", subset=frozenset(e.authority for e in endpoints))
        return self.world.room(anywhere) is not None

    def __call__(self, facts: RequestFacts, now: float) -> Placed | None:
        self.attempts += 1
        endpoint = self.world.room(facts)
        if endpoint is None:
            facts.full = fits(facts, self.world.reachable)
            return None
        self.world.running.append((facts, endpoint))
        return Placed(Endpoints((endpoint,), (Lease(endpoint, 1, 1),)), record_of(facts, now))

    def arrive(self, facts: RequestFacts, now: float) -> list[Pick]:
        outcome = self.controller.place(facts, now)
        if isinstance(outcome, Waiting):
            return []
        assert isinstance(outcome, Placed)
        return [(facts, outcome.decision.ordered[0])]

    def event(self, now: float) -> list[Pick]:
        picks: list[Pick] = []
        while True:
            self.attempts = 0
            for facts, outcome in self.controller.something_changed(now):
                assert isinstance(outcome, Placed)
                picks.append((facts, outcome.decision.ordered[0]))
            self.most_attempts = max(self.most_attempts, self.attempts)
            deadline = self.controller.next_deadline()
            if deadline is None or deadline > now:
                return picks


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["arrive", "arrive", "arrive", "many", "finish", "room", "pool", "leave"]),
        st.integers(0, 1000),
    ),
    max_size=50,
)


@pytest.mark.parametrize("fairness", list(Fairness))
@pytest.mark.parametrize("ordering", [Ordering.FCFS, Ordering.SLO_DEADLINE])
@given(STEPS)
def test_the_order_is_that_of_sorting_all_who_wait_for_every_place(
    fairness: Fairness, ordering: Ordering, steps: list[tuple[str, int]]
) -> None:
    band = BandSettings(fairness=fairness, ordering=ordering)
    wanted, real = (World(dict.fromkeys(ENDPOINTS, 1)) for _ in range(2))
    naive, picker = Naive(wanted, band), Real(real, band)
    twins: dict[RequestFacts, RequestFacts] = {}  # of the real ones, by the naive ones

    def same(expected: list[Pick], found: list[Pick]) -> None:
        assert [(twins[facts], endpoint) for facts, endpoint in expected] == found

    for at, (kind, number) in enumerate(steps, 1):
        now = float(at)
        if kind in ("arrive", "many"):
            for n in range(1 if kind == "arrive" else 20):
                one, other = (a_request(number + n * (number % 31), now) for _ in range(2))
                twins[one] = other
                same(naive.arrive(one), picker.arrive(other, now))
            continue
        if kind == "finish" and wanted.running:
            for world in (wanted, real):
                del world.running[number % len(world.running)]
        elif kind == "room":
            for world in (wanted, real):
                world.places[ENDPOINTS[number % 5]] = number % 4
        elif kind == "pool":
            for world in (wanted, real):
                mask = number % 32
                world.reachable = tuple(e for n, e in enumerate(ENDPOINTS) if mask >> n & 1)
        elif kind == "leave" and naive.waiting:
            gone = naive.waiting[number % len(naive.waiting)]
            naive.leave(gone)
            picker.controller.abandon(twins[gone])
        same(naive.event(), picker.event(now))
        assert len(picker.controller.room) == len(naive.waiting)
    assert picker.most_attempts <= 16


def a_request(number: int, now: float) -> RequestFacts:
    """Of one of many classes, of which many fit the same endpoints."""
    mask = number % 31 + 1
    return RequestFacts(
        "r",
        received_at=now,
        model=f"{mask}-{number % 3}",  # stands for its class
        flow="abcd"[number % 4],
        priority=number % 5 // 4,
        ttft_slo_seconds=float(number % 11),
        subset=frozenset(e.authority for n, e in enumerate(ENDPOINTS) if mask >> n & 1),
    )


def test_who_comes_last_in_order_is_placed_however_many_before_it_cannot_be() -> None:
    band = BandSettings()
    world = World({ENDPOINTS[0]: 0, ENDPOINTS[1]: 0})
    real = Real(world, band)
    for n in range(300):
        subset = frozenset({ENDPOINTS[n == 299].authority})
        real.arrive(RequestFacts(str(n), model=str(n), subset=subset), 0.0)
    world.reachable = ENDPOINTS[:2]  # all have to be tried anew
    world.places[ENDPOINTS[1]] = 1
    placed: list[RequestFacts] = []
    for _ in range(300 // 15 + 1):  # each an event of its own
        placed += [facts for facts, _ in real.controller.something_changed(1.0)]
    assert [facts.request_id for facts in placed] == ["299"]
