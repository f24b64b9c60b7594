"""Turns what happens to requests into metrics, one log line each, and the recent decisions."""

from __future__ import annotations

from collections import deque
from typing import Final

from epp.core.decision import Answer, DecisionRecord, Outcome, Placed, Waiting, record_of
from epp.core.refusal import Refused
from epp.core.request import RequestFacts
from epp.director import Begun, Cause, Ending
from epp.extproc.events import (
    Event,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
)
from epp.extproc.http_status import status_of
from epp.telemetry.metrics import FlowChildren, Metrics
from epp.telemetry.request_log import RequestLog

RECENT_DECISIONS: Final = 256
RECENT_SNAPSHOTS: Final = 32  # of them, those that can be taken again: they are large
LOGGED_CHARACTERS: Final = 512  # of what a client may make as long as it likes
RULE_BYTES: Final = 4  # of a token, where nothing is learned of the model's tokenizer

# Names of the outcomes in the flow-control metrics of the field.
FLOW_OUTCOMES: Final = {
    "rejected-saturated": "RejectedCapacity",
    "rejected-no-endpoints": "RejectedNoEndpoints",
    "rejected-ttl-expired": "EvictedTTL",
    "rejected-context-cancelled": "EvictedContextCancelled",
    "rejected-shutting-down": "RejectedOther",
}


CAUSES: Final = {cause: cause.value for cause in Cause}  # `value` is slow

# What the codec can decode, by the name of its stage.
STAGES: Final[dict[type[Event], str]] = {
    RequestHeaders: "request_headers",
    RequestBody: "request_body",
    RequestTrailers: "request_trailers",
    ResponseHeaders: "response_headers",
    ResponseBody: "response_body",
    ResponseTrailers: "response_trailers",
}


class RequestObserver:
    """Implements the switchboard's `Observer`. Nothing here decides or raises on odd input."""

    def __init__(self, metrics: Metrics, log: RequestLog) -> None:
        self.recent: deque[DecisionRecord] = deque(maxlen=RECENT_DECISIONS)
        self._with_snapshot: deque[DecisionRecord] = deque()
        self._metrics = metrics
        self._stages = {
            stage: metrics.stage_duration.labels(name) for stage, name in STAGES.items()
        }
        self._log = log

    def spent(self, stage: type[Event], seconds: float) -> None:
        self._stages[stage].observe(seconds)

    def began(self, begun: Begun, seconds: float) -> None:
        self._metrics.scheduler_duration.observe(seconds)

    def settled(self, begun: Begun, outcome: Outcome, now: float) -> None:
        facts, metrics = begun.facts, self._metrics
        metrics.request_processing.observe(now - facts.received_at)
        match outcome:
            case Placed(decision, record):
                self.recent.append(record)
                if record.snapshot is not None:
                    self._keep_snapshot(record)
                picked = decision.ordered[0]
                metrics.scheduler_attempts.labels(
                    *("success", metrics.model_cap(facts.target_model)),
                    *(picked.pod_name, picked.namespace, str(picked.port)),
                ).inc()
                if record.prefix_tokens:
                    cached = min(record.cached_tokens, record.prefix_tokens)
                    metrics.prefix_hit_ratio.observe(cached / record.prefix_tokens)
                    metrics.prefix_hit_bytes.observe(cached / facts.token_ratio * RULE_BYTES)
                children = self._children(begun)
                children.dispatched.inc()
                children.waited.observe(record.waited_seconds)
                if not facts.needs_room:
                    return
                if record.stages:
                    handler, kind = record.handler, record.handler_type
                    metrics.disaggregated(handler, kind, facts.model, record.disaggregation)
                children.total.inc()
                children.size.observe(len(begun.body) or facts.size_bytes)
                children.running.inc()
                begun.gaps = children.itl
            case Refused(reason=reason, detail=detail):
                record = record_of(facts, now)
                record.refusal, record.detail = reason.value, detail
                self.recent.append(record)
                self._count_refusal(begun, outcome)
                if reason.value in FLOW_OUTCOMES:
                    self._flow_outcome(begun, FLOW_OUTCOMES[reason.value], record.waited_seconds)
            case Answer():
                return

    def _keep_snapshot(self, record: DecisionRecord) -> None:
        self._with_snapshot.append(record)
        if len(self._with_snapshot) > RECENT_SNAPSHOTS:
            self._with_snapshot.popleft().snapshot = None

    def finished(self, begun: Begun, ending: Ending, now: float) -> None:
        placed = begun.placed
        if placed is not None and begun.facts.needs_room:
            self._measure_response(begun, ending, now)
        if placed is None and isinstance(begun.outcome, Waiting) and not begun.refused:
            self._flow_outcome(begun, "EvictedContextCancelled", now - begun.facts.received_at)
        if self._log.enabled:
            line = self._log.begin()
            log_line(line, begun, ending, now)
            self._log.write(line)

    def _children(self, begun: Begun) -> FlowChildren:
        facts = begun.facts
        return self._metrics.children(facts.model, facts.target_model, facts.flow, facts.priority)

    def _measure_response(self, begun: Begun, ending: Ending, now: float) -> None:
        children = self._children(begun)
        children.running.dec()
        if ending.status >= 400:
            code = "ModelServerError"
            self._metrics.request_error_total.labels(*children.labels, code).inc()
        if ending.cause is not Cause.NATURAL:
            return
        received = begun.facts.received_at
        duration = now - received
        children.duration.observe(duration)
        if ending.completed_at is not None:  # the body was seen
            children.response_size.observe(ending.response_bytes)
            seconds = ending.handling_seconds
            if not ending.streaming and ending.headers_at is not None:
                seconds = ending.completed_at - ending.headers_at
            self._metrics.response_processing.observe(seconds)
        if ending.first_chunk_at is not None:
            children.ttft[ending.streaming].observe(ending.first_chunk_at - received)
        usage = ending.usage
        if usage is None:
            return
        if usage.prompt_tokens > 0:
            children.input_tokens.observe(usage.prompt_tokens)
        if usage.cached_tokens is not None:
            children.cached_tokens.observe(usage.cached_tokens)
        tokens = usage.completion_tokens
        if tokens > 0:
            children.output_tokens.observe(tokens)
            children.ntpot.observe(duration / tokens)
        if ending.streaming and tokens > 1 and ending.first_chunk_at is not None:
            children.tpot.observe((now - ending.first_chunk_at) / (tokens - 1))

    def _count_refusal(self, begun: Begun, refusal: Refused) -> None:
        metrics = self._metrics
        metrics.refusals.labels(refusal.reason.value).inc()
        _, code = status_of(refusal.reason)
        labels = self._children(begun).labels
        metrics.request_error_total.labels(*labels, code).inc()
        metrics.scheduler_attempts.labels(
            "failure", metrics.model_cap(begun.facts.target_model), "", "", ""
        ).inc()

    def _flow_outcome(self, begun: Begun, outcome: str, waited_seconds: float) -> None:
        metrics, labels = self._metrics, self._children(begun).labels
        metrics.flow_outcomes.labels(outcome, labels[3], metrics.pool_name).inc()
        metrics.waited(labels, outcome).observe(waited_seconds)


def log_line(line: dict[str, object], begun: Begun, ending: Ending, now: float) -> None:
    """Adds what a request leaves in the log, as one line. No header and no prompt is in it."""
    facts = begun.facts
    line["x-request-id"] = facts.request_id[:LOGGED_CHARACTERS]
    line["path"] = facts.path[:LOGGED_CHARACTERS]
    line["model"] = facts.model[:LOGGED_CHARACTERS]
    line["target_model"] = facts.target_model[:LOGGED_CHARACTERS]
    line["objective"] = facts.objective
    line["priority"] = facts.priority
    line["flow"] = facts.flow
    line["status"] = ending.status
    line["cause"] = CAUSES[ending.cause]
    line["duration_ms"] = _ms(now - facts.received_at)
    placed = begun.placed
    if placed is not None:
        _log_pick(line, facts, placed.record)
    if begun.refused is not None:
        line["reason"] = begun.refused.reason.value
        line["detail"] = begun.refused.detail
    if ending.served and placed is not None:
        decision = placed.decision
        told = decision.common_authority or decision.ordered[0].authority
        if ending.served != told:
            line["served"] = ending.served
    if ending.first_chunk_at is not None:
        line["ttft_ms"] = _ms(ending.first_chunk_at - facts.received_at)
    if ending.usage is not None:
        line["prompt_tokens"] = ending.usage.prompt_tokens
        line["completion_tokens"] = ending.usage.completion_tokens
    if begun.trace is not None and begun.trace.recorded:
        line["trace_id"] = f"{begun.trace.trace_id:032x}"
    elif trace := facts.headers.get("traceparent", ""):
        line["trace_id"] = trace.split("-")[1] if trace.count("-") >= 3 else trace[:64]


def _log_pick(line: dict[str, object], facts: RequestFacts, record: DecisionRecord) -> None:
    line["endpoint"] = record.picked[0].authority
    line["decided_ms"] = _ms(record.decided_at - facts.received_at)
    line["waited_ms"] = _ms(record.waited_seconds)
    line["cached_tokens_estimate"] = record.cached_tokens
    line["prompt_tokens_estimate"] = facts.prompt_tokens
    for stage in record.stages:
        if stage.picked:
            line[f"{stage.role}"] = ",".join([endpoint.authority for endpoint in stage.picked])
        else:
            line[f"{stage.role}_skip"] = stage.skip


def _ms(seconds: float) -> float:
    """To the microsecond, without the slow exactness of `round`."""
    return int(seconds * 1e6 + 0.5) / 1000
