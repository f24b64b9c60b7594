from __future__ import annotations

import os
from dataclasses import dataclass, field

import orjson
import pytest

from epp.core.decision import (
    Answer,
    Endpoints,
    Outcome,
    Placed,
    StageRecord,
    Waiting,
    record_of,
)
from epp.core.refusal import Reason, Refused
from epp.core.request import RequestFacts
from epp.core.stages import Role, Skip
from epp.director import Begun, Cause, Ending
from epp.extproc.events import RequestHeaders
from epp.extproc.observer import RECENT_DECISIONS, RequestObserver
from epp.payloads.usage import Usage
from epp.telemetry.logs import LineWriter
from epp.telemetry.metrics import PREFIX_INDEX, Metrics
from epp.telemetry.request_log import RequestLog
from tests.helpers.build import an_endpoint

FLOW = {"model_name": "m", "target_model_name": "t", "fairness_id": "f", "priority": "3"}


@dataclass
class Watched:
    """An observer whose metrics and log lines can be read."""

    metrics: Metrics = field(default_factory=lambda: Metrics(pool_name="pool"))

    def __post_init__(self) -> None:
        self._reader, writer = os.pipe()
        self._descriptor = writer
        self._writer = LineWriter(writer)
        log = RequestLog(self._writer.put, enabled=True)
        self.observer = RequestObserver(self.metrics, log)

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"llm_d_epp_{name}", labels) or 0.0

    def lines(self) -> list[dict[str, object]]:
        self._writer.close()
        os.close(self._descriptor)
        with os.fdopen(self._reader, "rb") as stream:
            return [orjson.loads(line) for line in stream]


def a_begun(outcome: Outcome | Waiting | None = None, **facts: object) -> Begun:
    request = RequestFacts(
        "r1",
        model="m",
        target_model="t",
        flow="f",
        priority=3,
        **facts,  # type: ignore[arg-type]
    )
    if outcome is None:
        record = record_of(request, 0.5)
        record.picked = (an_endpoint("pod", address="10.0.0.1", port=80),)
        outcome = Placed(Endpoints(record.picked), record)
    return Begun(request, b"body", outcome)


def test_a_request_that_went_well() -> None:
    watched, begun = Watched(), a_begun()
    assert begun.placed is not None
    watched.observer.began(begun, 0.001)
    watched.observer.settled(begun, begun.placed, 0.5)
    assert watched.value("request_running", **FLOW) == 1
    ending = Ending(Cause.NATURAL, 200, "10.0.0.9:80", streaming=True)
    ending.first_chunk_at, ending.completed_at, ending.response_bytes = 1.0, 3.0, 99
    ending.usage = Usage(prompt_tokens=30, completion_tokens=5, cached_tokens=16)
    ending.handling_seconds = 0.125
    assert begun.gaps is not None
    begun.gaps.observe(0.03)  # as the session does for each chunk
    watched.observer.finished(begun, ending, 3.0)
    assert watched.value("request_running", **FLOW) == 0
    assert watched.value("request_total", **FLOW) == 1
    assert watched.value("request_duration_seconds_sum", **FLOW) == 3.0
    assert watched.value("request_ttft_seconds_sum", **FLOW, streaming="true") == 1.0
    assert watched.value("request_streaming_tpot_seconds_sum", **FLOW) == 0.5
    assert watched.value("request_streaming_itl_seconds_bucket", **FLOW, le="0.04") == 1
    assert watched.value("request_ntpot_seconds_sum", **FLOW) == 0.6
    assert watched.value("request_cached_tokens_sum", **FLOW) == 16
    assert watched.value("response_size_bytes_sum", **FLOW) == 99
    assert watched.value("response_processing_duration_seconds_sum") == 0.125
    outcome = {"outcome": "Dispatched", "priority": "3", "inference_pool": "pool"}
    assert watched.value("flow_control_requests_total", **outcome) == 1
    [line] = watched.lines()
    assert line["endpoint"] == "10.0.0.1:80"
    assert line["served"] == "10.0.0.9:80"
    assert (line["status"], line["cause"], line["completion_tokens"]) == (200, "natural", 5)


@pytest.mark.parametrize(
    ("reason", "code", "outcome"),
    [
        (Reason.SATURATED, "ResourceExhausted", "RejectedCapacity"),
        (Reason.TTL_EXPIRED, "ResourceExhausted", "EvictedTTL"),
        (Reason.NO_ENDPOINTS, "ServiceUnavailable", "RejectedNoEndpoints"),
        (Reason.BAD_REQUEST, "BadRequest", None),
    ],
)
def test_a_refusal_has_one_word_everywhere(reason: Reason, code: str, outcome: str | None) -> None:
    watched, refusal = Watched(), Refused(reason, "why")
    begun = a_begun(refusal)
    watched.observer.settled(begun, refusal, 1.0)
    watched.observer.finished(begun, Ending(Cause.REFUSED, 429), 1.0)
    assert watched.value("refusals_total", reason=reason.value) == 1
    assert watched.value("request_error_total", **FLOW, error_code=code) == 1
    assert watched.value("request_total", **FLOW) == 0
    labels = {"priority": "3", "inference_pool": "pool"}
    if outcome is not None:
        assert watched.value("flow_control_requests_total", outcome=outcome, **labels) == 1
    assert watched.observer.recent[-1].refusal == reason.value
    assert watched.lines()[0]["reason"] == reason.value


def test_an_answer_in_one_piece_is_processed_from_its_headers_on() -> None:
    watched, begun = Watched(), a_begun()
    assert begun.placed is not None
    watched.observer.settled(begun, begun.placed, 0.5)
    ending = Ending(Cause.NATURAL, 200, headers_at=1.0, first_chunk_at=1.25, completed_at=1.5)
    watched.observer.finished(begun, ending, 1.5)
    assert watched.value("response_processing_duration_seconds_sum") == 0.5
    unseen = Ending(Cause.NATURAL, 200, headers_at=1.0)  # light mode
    watched.observer.finished(begun, unseen, 2.0)
    assert watched.value("response_processing_duration_seconds_count") == 1


def test_who_leaves_while_waiting_is_counted() -> None:
    watched, begun = Watched(), a_begun(Waiting(60.0))
    watched.observer.finished(begun, Ending(Cause.CLIENT_DISCONNECT), 2.0)
    labels = {"priority": "3", "inference_pool": "pool"}
    name = "flow_control_requests_total"
    assert watched.value(name, outcome="EvictedContextCancelled", **labels) == 1
    assert watched.lines()[0]["cause"] == "client-disconnect"


@pytest.mark.parametrize(
    ("handler", "family", "other"),
    [
        ("disagg-profile-handler", "disagg_decision_total", "pd_decision_total"),
        ("pd-profile-handler", "pd_decision_total", "disagg_decision_total"),
    ],
)
def test_the_stages_of_a_request_are_counted_and_logged(
    handler: str, family: str, other: str
) -> None:
    watched, begun = Watched(), a_begun()
    assert begun.placed is not None
    record = begun.placed.record
    record.handler, record.handler_type = "h", handler
    prefiller = an_endpoint(address="10.0.0.2", port=80)
    record.stages = (
        StageRecord(Role.ENCODE, "encode", Skip.DECIDER),
        StageRecord(Role.PREFILL, "prefill", picked=(prefiller,)),
    )
    watched.observer.settled(begun, begun.placed, 0.5)
    labels = {"plugin_name": "h", "plugin_type": handler}
    counted = {**labels, "model_name": "m", "decision_type": "prefill-decode"}
    assert (watched.value(family, **counted), watched.value(other, **counted)) == (1, 0)
    begun.facts.model = ""
    watched.observer.settled(begun, begun.placed, 0.5)
    unnamed = {**labels, "model_name": "unknown", "decision_type": "prefill-decode"}
    assert watched.value(family, **unnamed) == 1
    watched.observer.finished(begun, Ending(Cause.NATURAL, 200), 1.0)
    [line] = watched.lines()
    assert (line["prefill"], line["encode_skip"]) == ("10.0.0.2:80", "decider")


def test_one_profile_alone_is_no_disaggregation() -> None:
    watched, begun = Watched(), a_begun()
    assert begun.placed is not None
    watched.observer.settled(begun, begun.placed, 0.5)
    assert not list(watched.metrics.disagg_decisions._children)


def test_a_rank_is_served_where_the_gateway_was_told() -> None:
    watched, begun = Watched(), a_begun()
    assert begun.placed is not None
    decision = Endpoints(begun.placed.record.picked, common_authority="10.0.0.1:8000")
    begun.outcome = Placed(decision, begun.placed.record)
    watched.observer.finished(begun, Ending(Cause.NATURAL, 200, "10.0.0.1:8000"), 1.0)
    watched.observer.finished(begun, Ending(Cause.NATURAL, 200, "10.0.0.1:80"), 1.0)
    assert [line.get("served") for line in watched.lines()] == [None, "10.0.0.1:80"]


def test_an_error_of_the_model_server_is_counted() -> None:
    watched, begun = Watched(), a_begun()
    assert begun.placed is not None
    watched.observer.settled(begun, begun.placed, 0.5)
    watched.observer.finished(begun, Ending(Cause.NATURAL, 500), 1.0)
    assert watched.value("request_error_total", **FLOW, error_code="ModelServerError") == 1


def test_a_request_without_body_is_logged_and_not_measured() -> None:
    watched, begun = Watched(), a_begun(needs_room=False)
    assert begun.placed is not None
    watched.observer.settled(begun, begun.placed, 0.5)
    watched.observer.finished(begun, Ending(Cause.NATURAL, 200), 1.0)
    assert watched.value("request_total", **FLOW) == 0
    assert watched.value("request_running", **FLOW) == 0
    assert len(watched.lines()) == 1


def test_an_answer_of_our_own_is_no_decision() -> None:
    watched = Watched()
    answer = Answer(200, {}, b"")
    watched.observer.settled(a_begun(answer), answer, 1.0)
    assert not watched.observer.recent


def test_the_trace_and_no_header_is_in_the_line() -> None:
    watched = Watched()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    begun = a_begun(headers={"traceparent": trace, "authorization": "secret"})
    watched.observer.finished(begun, Ending(Cause.NATURAL, 200), 1.0)
    [line] = watched.lines()
    assert line["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert b"secret" not in orjson.dumps(line)


def test_recent_decisions_are_bounded() -> None:
    watched, begun = Watched(), a_begun()
    assert begun.placed is not None
    for _ in range(RECENT_DECISIONS + 10):
        watched.observer.settled(begun, begun.placed, 0.5)
    assert len(watched.observer.recent) == RECENT_DECISIONS
    watched.observer.spent(RequestHeaders, 0.001)
    assert watched.value("stage_duration_seconds_count", stage="request_headers") == 1


@pytest.mark.parametrize(
    ("prefix", "cached", "ratio", "size"),
    [
        pytest.param(512, 128, 0.25, 1024.0, id="a-part"),
        pytest.param(512, 0, 0.0, 0.0, id="nothing"),
        pytest.param(512, 600, 1.0, 1024.0 * 4, id="the-last-block-counts-whole"),
    ],
)
def test_what_the_index_believed_is_measured(
    prefix: int, cached: int, ratio: float, size: float
) -> None:
    watched = Watched()
    begun = a_begun(token_ratio=0.5)
    assert begun.placed is not None
    watched.observer.settled(begun, begun.placed, 0.5)  # nothing was looked up
    begun.placed.record.prefix_tokens = prefix
    begun.placed.record.cached_tokens = cached
    watched.observer.settled(begun, begun.placed, 0.5)
    for name, expected in (("ratio", ratio), ("bytes", size)):
        assert watched.value(f"prefix_indexer_hit_{name}_count", **PREFIX_INDEX) == 1
        assert watched.value(f"prefix_indexer_hit_{name}_sum", **PREFIX_INDEX) == expected
