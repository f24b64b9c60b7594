from __future__ import annotations

from dataclasses import dataclass, field

from epp.core.request import RequestFacts
from epp.telemetry.flows import (
    MOST_ZEROS,
    REQUESTS_PER_SLICE,
    SAMPLES_PER_SLICE,
    ZERO_SECONDS,
    FlowCollector,
    FlowSources,
)
from epp.telemetry.metrics import OTHER, LabelCap, Metrics
from tests.helpers.build import a_request

LABELS = ["fairness_id", "priority", "inference_pool", "model_name", "target_model_name"]


@dataclass
class Room:
    """Who waits, and the page that shows it."""

    flow_cap: LabelCap = field(default_factory=LabelCap)
    waiting: list[RequestFacts] = field(default_factory=list)
    now: float = 1000.0

    def __post_init__(self) -> None:
        metrics = Metrics(flow_cap=self.flow_cap, pool_name="p")
        sources = FlowSources(lambda: iter(self.waiting), lambda: self.now)
        self.collector = FlowCollector(metrics, sources)

    def enter(self, flow: str = "f", size: int = 7, count: int = 1) -> None:
        for _ in range(count):
            named = {"model": "m", "target_model": "t", "flow": flow, "priority": 5}
            self.waiting.append(a_request(**named, size_bytes=size))

    def values(self, name: str) -> dict[tuple[str, ...], float]:
        samples = [s for family in self.collector.collect() for s in family.samples]
        named = [s for s in samples if s.name == f"llm_d_epp_flow_control_queue_{name}"]
        assert all(list(sample.labels) == LABELS for sample in named)
        return {tuple(sample.labels.values()): sample.value for sample in named}


def labels_of(flow: str) -> tuple[str, ...]:
    return (flow, "5", "p", "m", "t")


def test_who_waits_is_counted_by_flow_and_model() -> None:
    room = Room()
    room.enter("a", 100, count=2)
    room.enter("b", 7)
    assert room.values("size") == {labels_of("a"): 2, labels_of("b"): 1}
    assert room.values("bytes") == {labels_of("a"): 200, labels_of("b"): 7}


def test_flows_beyond_the_cap_are_summed() -> None:
    room = Room(flow_cap=LabelCap(1))
    for flow in ("a", "b", "c"):
        room.enter(flow, 10)
    assert room.values("size") == {labels_of("a"): 1, labels_of(OTHER): 2}
    assert room.values("bytes") == {labels_of("a"): 10, labels_of(OTHER): 20}


def test_a_series_comes_down_to_zero_and_vanishes_later() -> None:
    room = Room()
    assert room.values("size") == {}
    room.enter("a")
    assert room.values("size") == {labels_of("a"): 1}
    room.waiting.clear()
    room.now += ZERO_SECONDS
    assert room.values("size") == {labels_of("a"): 0}
    assert room.values("bytes") == {labels_of("a"): 0}
    room.now += 1
    assert room.values("size") == {}


def test_series_of_zero_are_bounded() -> None:
    room = Room(flow_cap=LabelCap(10 * MOST_ZEROS))
    for start in range(0, 3 * MOST_ZEROS, MOST_ZEROS // 2):
        room.waiting.clear()
        for n in range(MOST_ZEROS // 2):
            room.enter(f"flow-{start + n}")
        assert len(room.values("size")) <= MOST_ZEROS
    assert labels_of(f"flow-{2 * MOST_ZEROS}") in room.values("size")


def test_a_long_queue_is_counted_in_steps_that_others_go_between() -> None:
    room = Room(flow_cap=LabelCap(100_000))
    for n in range(10_000):
        room.enter(f"flow-{n}")
    families = list(room.collector.collect())
    assert max(len(family.samples) for family in families) <= SAMPLES_PER_SLICE
    pauses = [family for family in families if not family.samples]
    assert len(pauses) == 10_000 / REQUESTS_PER_SLICE
    names = [family.name for family in families]
    assert names == sorted(names, reverse=True)  # size, then bytes: slices of one name in a row
    assert len(room.values("size")) == 10_000


def test_who_comes_while_others_are_counted_is_not_missed_later() -> None:
    room = Room()
    room.enter("a", count=2 * REQUESTS_PER_SLICE)
    step = iter(room.collector.collect())
    next(step)
    room.enter("b")
    list(step)
    assert room.values("size") == {labels_of("a"): 2 * REQUESTS_PER_SLICE, labels_of("b"): 1}
