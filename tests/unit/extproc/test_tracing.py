from __future__ import annotations

import random

from epp.compose import Picker, compose
from epp.config.build import read_configuration
from epp.configured import Outside
from epp.core.refusal import Reason, Refused
from epp.core.request import RequestFacts
from epp.core.stages import Role
from epp.core.stopwatch import Stopwatch
from epp.director import Begun, Cause, Ending
from epp.extproc.tracing import RequestTracer, request_span
from epp.telemetry.spans import Span
from epp.telemetry.trace_context import ALL_IDS, Sampler, TracePart
from tests.helpers.build import a_request
from tests.helpers.disaggregation import DISAGG, HEAD, PLUGINS, POOL, PROFILES, an_arrival, apply

PART = TracePart(1, 2, None, True, "", {}, 10.0)
DECIDERS = "deciders: {prefill: prefix-based-pd-decider}"
PD = f"- {{type: pd-profile-handler, parameters: {{{DECIDERS}}}}}"


def a_picker(handler: str) -> Picker:
    stopwatch = Stopwatch(lambda: 12.0, lambda _part: lambda _seconds: None)
    outside = Outside(random.Random(1), lambda: "made-up", stopwatch=stopwatch)
    picker = compose(read_configuration(f"{HEAD}\nplugins:{PLUGINS}{handler}\n{PROFILES}"), outside)
    apply(picker, POOL)
    return picker


def begun(handler: str, *, image: bool = False) -> Begun:
    arrival = an_arrival(1000, image=image)
    arrival.laps, arrival.received_at = [], 9.0
    return a_picker(handler).director.begin(arrival, 11.0)


def spans_of(root: Span) -> list[Span]:
    return [root, *(below for child in root.children for below in spans_of(child))]


def named(root: Span, name: str) -> Span:
    [found] = [span for span in spans_of(root) if span.name == name]
    return found


def test_each_profile_of_a_disaggregated_request_has_its_span() -> None:
    request = begun(DISAGG, image=True)
    assert request.placed is not None
    root = request_span(request, PART, Ending(Cause.NATURAL, 200), 20.0)
    runs = [span for span in spans_of(root) if span.name == "run_scheduler_profile"]
    name = "llm_d.epp.scheduling.profile.name"
    assert sorted(str(run.attributes[name]) for run in runs) == ["decode", "encode", "prefill"]
    choice = named(root, "pick_disagg_profile").attributes
    prefix = "llm_d.epp.profile_handler"
    assert choice == {
        f"{prefix}.decision": "complete",
        f"{prefix}.total_profiles": 3,
        f"{prefix}.executed_profiles": 3,
        f"{prefix}.selected_profile": "decode",
    }
    joined = named(root, "prepare_disaggregation").attributes
    prefill = next(s for s in request.placed.record.stages if s.role is Role.PREFILL).picked[0]
    assert joined["llm_d.epp.pd.disaggregation_used"] is True
    assert joined["llm_d.epp.pd.prefill_pod_address"] == prefill.address
    assert joined["llm_d.epp.pd.prefill_pod_port"] == "8000"
    assert joined["llm_d.epp.encode.endpoints"] == ["10.0.101.0:8000"]


def test_a_stage_that_was_left_out_says_why() -> None:
    root = request_span(begun(DISAGG), PART, Ending(Cause.NATURAL, 200), 20.0)
    joined = named(root, "prepare_disaggregation").attributes
    assert joined["llm_d.epp.encode.disaggregation_used"] is False
    assert joined["llm_d.epp.encode.reason"] == "decider"


def test_the_scores_are_those_of_the_profile() -> None:
    request = begun(DISAGG)
    assert request.placed is not None
    root = request_span(request, PART, Ending(Cause.NATURAL, 200), 20.0)
    record = request.placed.record
    for run in [span for span in spans_of(root) if span.name == "run_scheduler_profile"]:
        profile = run.attributes["llm_d.epp.scheduling.profile.name"]
        stages = {stage.profile: stage for stage in record.stages}
        scored = stages.get(str(profile), record)
        pick = named(run, "pick_endpoints").attributes
        top = pick["llm_d.epp.picker.top_endpoints"]
        assert isinstance(top, list)
        assert set(top) <= {endpoint.authority for endpoint in scored.candidates}
        scores = pick["llm_d.epp.picker.top_scores"]
        assert scores == sorted(scored.totals, reverse=True)


def test_a_wait_has_its_span() -> None:
    request = begun(DISAGG)
    request.facts.waiting_since = 10.5
    root = request_span(request, PART, Ending(Cause.NATURAL, 200), 20.0)
    wait = named(root, "llm_d.epp.wait_in_queue")
    assert (wait.began, wait.ended) == (10.5, 11.0)
    asked = named(root, "gateway.request_orchestration")
    assert (asked.began, asked.ended) == (10.0, 12.0)


def test_texts_of_clients_are_short_and_utf_8() -> None:
    facts = RequestFacts("r\udcff" + "x" * 1000, model="m" * 1000)
    root = request_span(
        Begun(facts, b"", Refused(Reason.SATURATED, "full\udcff")), PART, Ending(Cause.REFUSED), 1.0
    )
    for span in spans_of(root):
        for value in span.attributes.values():
            assert not isinstance(value, str) or len(value.encode()) <= 256
    assert [span.error for span in spans_of(root)] == ["rejected-saturated"] * 2


def test_how_a_request_ended() -> None:
    request = Begun(a_request(), b"", Refused(Reason.INTERNAL, ""))
    request.outcome = begun(DISAGG).outcome
    errors = {
        Ending(Cause.NATURAL, 200).cause: None,
        Cause.CLIENT_DISCONNECT: "the stream ended before the response did",
    }
    for cause, error in errors.items():
        assert request_span(request, PART, Ending(cause, 200), 1.0).error == error
    assert request_span(request, PART, Ending(Cause.NATURAL, 429), 1.0).error == "ModelServerError"


def test_only_what_is_recorded_is_written() -> None:
    written: list[tuple[Span, TracePart, float]] = []
    tracer = RequestTracer(
        Sampler(True, ALL_IDS), random.Random(1).getrandbits, lambda *all_: written.append(all_)
    )
    request = begun(DISAGG)
    for recorded in (True, False):
        request.trace = TracePart(1, 2, None, recorded, "", {}, 10.0)
        tracer.finished(request, Ending(Cause.NATURAL, 200), 20.0)
    request.trace = None
    tracer.finished(request, Ending(Cause.NATURAL, 200), 20.0)
    [(root, part, now)] = written
    assert (root.name, part.recorded, now) == ("gateway.request", True, 20.0)
    part_or_none = tracer.join({}, 3.0)
    assert part_or_none is not None
    assert part_or_none.asked_at == 3.0
