"""The spans of a request, made of what was seen of it, when it is over. Decides nothing.

Names and attributes are those of the Go picker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from epp.core.decision import DecisionRecord, StageRecord
from epp.core.refusal import Refused
from epp.core.request import RequestFacts
from epp.core.stages import Role
from epp.core.stopwatch import (
    FILTER,
    PICKER,
    PROCESS_RESULTS,
    PROFILE_PICKER,
    SCORER,
    Lap,
)
from epp.director import Begun, Cause, Ending
from epp.telemetry.spans import HANDLERS, REQUEST_CONTROL, Attribute, Span
from epp.telemetry.trace_context import Sampler, TracePart, join_trace

TOP: Final = 5  # endpoints of a pick that are told
TEXT_CHARACTERS: Final = 256  # of what comes from clients
PD_HANDLER: Final = "pd-profile-handler"

Scored = DecisionRecord | StageRecord


class RequestTracer:
    """Implements the switchboard's `Tracer`."""

    def __init__(
        self,
        sampler: Sampler,
        random_bits: Callable[[int], int],
        write: Callable[[Span, TracePart, float], None],
    ) -> None:
        """`write` takes the spans of a request, our part in its trace, and the time."""
        self._sampler = sampler
        self._random_bits = random_bits
        self._write = write

    def join(self, headers: Mapping[str, str], now: float) -> TracePart | None:
        return join_trace(headers, self._sampler, self._random_bits, now)

    def finished(self, begun: Begun, ending: Ending, now: float) -> None:
        if begun.trace is not None and begun.trace.recorded:
            self._write(request_span(begun, begun.trace, ending, now), begun.trace, now)


def request_span(begun: Begun, part: TracePart, ending: Ending, now: float) -> Span:
    """With all that is below it."""
    facts = begun.facts
    common: dict[str, Attribute] = {"gen_ai.request.id": _text(facts.request_id)}
    if facts.model:
        common["gen_ai.request.model"] = _text(facts.model)
    span = Span("gateway.request", facts.received_at, now, HANDLERS, dict(common), serves=True)
    if ending.status:
        span.attributes["http.response.status_code"] = ending.status
    if begun.placed is not None:
        span.attributes["llm_d.epp.endpoint"] = begun.placed.decision.ordered[0].authority
    span.error = _error(begun, ending)
    span.children.append(_orchestration(begun, part, ending, common, now))
    return span


def _error(begun: Begun, ending: Ending) -> str | None:
    if begun.refused is not None:
        return begun.refused.reason.value
    if ending.status >= 400:
        return "ModelServerError"
    if ending.cause is Cause.CLIENT_DISCONNECT:
        return "the stream ended before the response did"
    return None


def _orchestration(
    begun: Begun, part: TracePart, ending: Ending, common: dict[str, Attribute], now: float
) -> Span:
    """From the whole request to its decision."""
    facts, placed, laps = begun.facts, begun.placed, begun.facts.laps or ()
    ended = now if placed is None else placed.record.decided_at
    if laps:
        ended = max(ended, laps[-1].ended)
    span = Span(
        "gateway.request_orchestration", part.asked_at, ended, REQUEST_CONTROL, common, serves=True
    )
    span.attributes["target_model"] = _text(facts.target_model)
    span.attributes["request_prio"] = facts.priority
    if isinstance(begun.outcome, Refused):
        span.error = begun.outcome.reason.value
        span.attributes["llm_d.epp.refusal.detail"] = _text(begun.outcome.detail)
    if facts.waiting_since is not None:
        waited_until = now if placed is None else placed.record.decided_at
        span.children.append(
            Span("llm_d.epp.wait_in_queue", facts.waiting_since, waited_until, REQUEST_CONTROL)
        )
    record = None if placed is None else placed.record
    span.children += _decision(facts, laps, record)
    return span


def _decision(
    facts: RequestFacts, laps: Sequence[Lap], record: DecisionRecord | None
) -> list[Span]:
    """Of the last attempt to place it: one of each profile that ran, and of their handler."""
    by_profile: dict[str, list[Lap]] = {}
    spans: list[Span] = []
    for lap in laps:
        if lap.part.profile:
            by_profile.setdefault(lap.part.profile, []).append(lap)
        elif lap.part.point == PROFILE_PICKER:
            spans.append(_choice(lap, record))
        elif lap.part.point == PROCESS_RESULTS and record is not None:
            spans.append(_joined(lap, record))
    spans += [
        _profile(profile, ran, _scored_by(profile, record)) for profile, ran in by_profile.items()
    ]
    spans.sort(key=_began)
    return spans


def _began(span: Span) -> float:
    return span.began


def _scored_by(profile: str, record: DecisionRecord | None) -> Scored | None:
    if record is None or record.profile == profile:
        return record
    return next((stage for stage in record.stages if stage.profile == profile), None)


def _profile(profile: str, laps: Sequence[Lap], scored: Scored | None) -> Span:
    span = Span("run_scheduler_profile", laps[0].began, laps[-1].ended)
    span.attributes["llm_d.epp.scheduling.profile.name"] = profile
    filters = [lap for lap in laps if lap.part.point == FILTER]
    if filters:
        narrowing = Span("filter_endpoints", filters[0].began, filters[-1].ended)
        narrowing.attributes["llm_d.epp.filter.candidate_endpoints"] = filters[0].given
        narrowing.attributes["llm_d.epp.filter.filtered_endpoints"] = filters[-1].left
        span.children.append(narrowing)
    scorers = [lap for lap in laps if lap.part.point == SCORER]
    if scorers:
        scoring = Span("llm_d.epp.scoring", scorers[0].began, scorers[-1].ended)
        scoring.attributes["llm_d.epp.scorer.count"] = len(scorers)
        scoring.attributes["llm_d.epp.scoring.candidate_endpoints"] = scorers[0].given
        scoring.children = [_scorer(lap, scored) for lap in scorers]
        span.children.append(scoring)
    span.children += [_pick(lap, scored) for lap in laps if lap.part.point == PICKER]
    return span


def _scorer(lap: Lap, scored: Scored | None) -> Span:
    part = lap.part
    span = Span(f"llm_d.epp.scorer.{part.plugin_type}", lap.began, lap.ended)
    attributes = span.attributes
    attributes["llm_d.epp.scorer.type"] = part.plugin_type
    attributes["llm_d.epp.scorer.name"] = part.plugin_name
    attributes["llm_d.epp.scorer.candidate_endpoints"] = lap.given
    if scored is None:
        return span
    attributes["llm_d.epp.scorer.weight"] = float(scored.weights.get(part.plugin_name, 0.0))
    scores = [float(score) for score in scored.scores.get(part.plugin_name, ())]
    if scores:
        attributes["llm_d.epp.scorer.score.max"] = max(scores)
        attributes["llm_d.epp.scorer.score.avg"] = sum(scores) / len(scores)
        attributes["llm_d.epp.scorer.endpoints_scored"] = len(scores)
    return span


def _pick(lap: Lap, scored: Scored | None) -> Span:
    span = Span("pick_endpoints", lap.began, lap.ended)
    span.attributes["llm_d.epp.picker.candidate_endpoints"] = lap.given
    if scored is not None:
        totals, candidates = scored.totals, scored.candidates
        best = sorted(range(len(totals)), key=totals.__getitem__, reverse=True)[:TOP]
        span.attributes["llm_d.epp.picker.top_endpoints"] = [candidates[i].authority for i in best]
        span.attributes["llm_d.epp.picker.top_scores"] = [float(totals[i]) for i in best]
    return span


def _choice(lap: Lap, record: DecisionRecord | None) -> Span:
    """A handler chooses all profiles at once."""
    pd = lap.part.plugin_type == PD_HANDLER
    span = Span("pick_pd_profile" if pd else "pick_disagg_profile", lap.began, lap.ended)
    if record is not None:
        decision = record.disaggregation.replace("-", "_") if pd else "complete"
        prefix = "llm_d.epp.profile_handler"
        span.attributes[f"{prefix}.decision"] = decision
        span.attributes[f"{prefix}.total_profiles"] = 1 + len(record.stages)
        ran = [stage for stage in record.stages if stage.picked]
        span.attributes[f"{prefix}.executed_profiles"] = 1 + len(ran)
        span.attributes[f"{prefix}.selected_profile"] = record.profile
    return span


def _joined(lap: Lap, record: DecisionRecord) -> Span:
    span = Span("prepare_disaggregation", lap.began, lap.ended)
    attributes = span.attributes
    for stage in record.stages:
        kind = "pd" if stage.role is Role.PREFILL else stage.role.value
        attributes[f"llm_d.epp.{kind}.disaggregation_used"] = bool(stage.picked)
        if stage.skip is not None:
            attributes[f"llm_d.epp.{kind}.reason"] = stage.skip.value
        if stage.picked and stage.role is Role.PREFILL:
            attributes["llm_d.epp.pd.prefill_pod_address"] = stage.picked[0].address
            attributes["llm_d.epp.pd.prefill_pod_port"] = str(stage.picked[0].port)
        elif stage.picked:
            endpoints = [endpoint.authority for endpoint in stage.picked]
            attributes[f"llm_d.epp.{kind}.endpoints"] = endpoints
    return span


def _text(text: str) -> str:
    """Short, and UTF-8: an exporter would lose a whole batch for what is not."""
    return text[:TEXT_CHARACTERS].encode("utf-8", "replace").decode()
