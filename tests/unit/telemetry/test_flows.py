from __future__ import annotations

from dataclasses import dataclass, field

from epp.core.decision import Endpoints, Lease
from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.datalayer.ledger import Ledger
from epp.telemetry.flows import (
    MOST_ZEROS,
    REQUESTS_PER_SLICE,
    SAMPLES_PER_SLICE,
    ZERO_SECONDS,
    FlowCollector,
    FlowSources,
)
from epp.telemetry.metrics import OTHER, LabelCap, Metrics
from tests.helpers.build import a_request, an_endpoint

SIZE, BYTES = "flow_control_queue_size", "flow_control_queue_bytes"
QUEUE_LABELS = ["fairness_id", "priority", "inference_pool", "model_name", "target_model_name"]

IN_FLIGHT_LABELS = ["endpoint_name", "namespace", "producer_name", "fairness_id", "priority"]


@dataclass
class Room:
    """Who waits, and the page that shows it."""

    flow_cap: LabelCap = field(default_factory=LabelCap)
    waiting: list[RequestFacts] = field(default_factory=list)
    placed: list[tuple[RequestFacts, Endpoints]] = field(default_factory=list)
    pool: list[Endpoint] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    now: float = 1000.0

    def __post_init__(self) -> None:
        metrics = Metrics(flow_cap=self.flow_cap, pool_name="p")
        sources = FlowSources(
            waiting=lambda: iter(self.waiting),
            placed=lambda: list(self.placed),
            endpoints=lambda: self.pool,
            now=lambda: self.now,
        )
        self.collector = FlowCollector(metrics, sources)

    def enter(self, flow: str = "f", size: int = 7, count: int = 1) -> None:
        for _ in range(count):
            named = {"model": "m", "target_model": "t", "flow": flow, "priority": 5}
            self.waiting.append(a_request(**named, size_bytes=size))

    def place(self, endpoint: Endpoint, flow: str = "f", tokens: int = 10) -> Lease:
        lease = self.ledger.reserve(endpoint, 3 * tokens, tokens)
        facts = a_request(flow=flow, priority=5)
        self.placed.append((facts, Endpoints((endpoint,), (lease,))))
        return lease

    def values(self, name: str) -> dict[tuple[str, ...], float]:
        labels = QUEUE_LABELS if name.startswith("flow") else IN_FLIGHT_LABELS
        samples = [s for family in self.collector.collect() for s in family.samples]
        named = [s for s in samples if s.name == f"llm_d_epp_{name}"]
        assert all(list(sample.labels) == labels for sample in named)
        return {tuple(sample.labels.values()): sample.value for sample in named}


def labels_of(flow: str) -> tuple[str, ...]:
    return (flow, "5", "p", "m", "t")


def test_who_waits_is_counted_by_flow_and_model() -> None:
    room = Room()
    room.enter("a", 100, count=2)
    room.enter("b", 7)
    assert room.values(SIZE) == {labels_of("a"): 2, labels_of("b"): 1}
    assert room.values(BYTES) == {labels_of("a"): 200, labels_of("b"): 7}


def test_flows_beyond_the_cap_are_summed() -> None:
    room = Room(flow_cap=LabelCap(1))
    for flow in ("a", "b", "c"):
        room.enter(flow, 10)
    assert room.values(SIZE) == {labels_of("a"): 1, labels_of(OTHER): 2}
    assert room.values(BYTES) == {labels_of("a"): 10, labels_of(OTHER): 20}


def test_a_series_comes_down_to_zero_and_vanishes_later() -> None:
    room = Room()
    assert room.values(SIZE) == {}
    room.enter("a")
    assert room.values(SIZE) == {labels_of("a"): 1}
    room.waiting.clear()
    room.now += ZERO_SECONDS
    assert room.values(SIZE) == {labels_of("a"): 0}
    assert room.values(BYTES) == {labels_of("a"): 0}
    room.now += 1
    assert room.values(SIZE) == {}


def test_series_of_zero_are_bounded() -> None:
    room = Room(flow_cap=LabelCap(10 * MOST_ZEROS))
    for start in range(0, 3 * MOST_ZEROS, MOST_ZEROS // 2):
        room.waiting.clear()
        for n in range(MOST_ZEROS // 2):
            room.enter(f"flow-{start + n}")
        assert len(room.values(SIZE)) <= MOST_ZEROS
    assert labels_of(f"flow-{2 * MOST_ZEROS}") in room.values(SIZE)


def test_a_long_queue_is_counted_in_steps_that_others_go_between() -> None:
    room = Room(flow_cap=LabelCap(100_000))
    for n in range(10_000):
        room.enter(f"flow-{n}")
    families = [f for f in room.collector.collect() if "queue" in f.name]
    assert max(len(family.samples) for family in families) <= SAMPLES_PER_SLICE
    pauses = [family for family in families if not family.samples]
    assert len(pauses) == 10_000 / REQUESTS_PER_SLICE
    names = [family.name for family in families]
    assert names == sorted(names, reverse=True)  # size, then bytes: slices of one name in a row
    assert len(room.values(SIZE)) == 10_000


def test_who_comes_while_others_are_counted_is_not_missed_later() -> None:
    room = Room()
    room.enter("a", count=2 * REQUESTS_PER_SLICE)
    step = iter(room.collector.collect())
    next(step)
    room.enter("b")
    list(step)
    assert room.values(SIZE) == {labels_of("a"): 2 * REQUESTS_PER_SLICE, labels_of("b"): 1}


def served(endpoint: Endpoint, flow: str) -> tuple[str, ...]:
    return (endpoint.name, "default", "inflight-load-producer", flow, "5")


def test_what_endpoints_work_on_is_counted_by_flow() -> None:
    room = Room()
    one, two = room.pool = [an_endpoint(), an_endpoint()]
    room.place(one, "a", tokens=100)
    room.place(one, "a", tokens=7)
    room.ledger.prefilled(room.place(one, "b", tokens=5))
    room.ledger.release(room.place(two, "a"))
    assert room.values("inflight_requests") == {served(one, "a"): 2, served(one, "b"): 1}
    assert room.values("inflight_tokens") == {served(one, "a"): 107, served(one, "b"): 0}
    assert one.load.prefilling_tokens == 107


def test_a_stage_before_the_answer_is_work_as_well() -> None:
    room = Room()
    prefiller, decoder = room.pool = [an_endpoint(), an_endpoint()]
    first, second = room.ledger.reserve(prefiller, 50, 40), room.ledger.reserve(decoder, 50, 1)
    decision = Endpoints((decoder,), (second,), early_leases=(first,))
    room.placed.append((a_request(flow="a", priority=5), decision))
    found = room.values("inflight_tokens")
    assert found == {served(decoder, "a"): 1, served(prefiller, "a"): 40}


def test_an_endpoint_that_left_has_no_series() -> None:
    room = Room()
    stays, leaves = room.pool = [an_endpoint(), an_endpoint()]
    room.place(stays)
    room.place(leaves)
    assert len(room.values("inflight_tokens")) == 2
    room.placed.clear()
    assert room.values("inflight_tokens") == {served(stays, "f"): 0, served(leaves, "f"): 0}
    room.pool = [stays]
    assert room.values("inflight_tokens") == {served(stays, "f"): 0}


def test_flows_in_flight_are_under_the_cap_and_counted_in_steps() -> None:
    room = Room(flow_cap=LabelCap(1))
    endpoint, *_ = room.pool = [an_endpoint()]
    for n in range(4 * REQUESTS_PER_SLICE):
        room.place(endpoint, f"flow-{n}", tokens=1)
    pauses = [f for f in room.collector.collect() if f.name.endswith("requests") and not f.samples]
    assert len(pauses) == 4
    other = 4 * REQUESTS_PER_SLICE - 1
    expected = {served(endpoint, "flow-0"): 1, served(endpoint, OTHER): other}
    assert room.values("inflight_requests") == expected
