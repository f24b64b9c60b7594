"""The JSON of an explanation: of a request that was only tried, or of a decision that was taken.

No prompt is in it, and of the headers those that a plugin read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from epp.core.decision import (
    Answer,
    DecisionRecord,
    Outcome,
    Placed,
    Replayable,
    ShadowPick,
    Step,
    Waiting,
)
from epp.core.refusal import Refused
from epp.core.request import RequestFacts
from epp.explain.explanation import explanation, stepped
from epp.explain.plain import CannotRecord
from epp.shadow.comparison import Look

EXPLANATION_VERSION: Final = 1


def tried(
    facts: RequestFacts,
    outcome: Outcome | Waiting,
    ahead: int | None,
    record: DecisionRecord | None,
    steps: Sequence[Step],
    snapshot: Replayable | None,
    looks: Sequence[Look] = (),
) -> dict[str, Any]:
    """Of a request that was not sent anywhere. `ahead` are those in line before it, if it waits.

    `looks` are what shadow profiles would have made of it.
    """
    return {
        "version": EXPLANATION_VERSION,
        "request": {
            "request_id": facts.request_id,
            "path": facts.path,
            "model": facts.model,
            "target_model": facts.target_model,
            "objective": facts.objective,
            "priority": facts.priority,
            "flow": facts.flow,
            "prompt_tokens": facts.prompt_tokens,
            "prefix_tokens": facts.prefix_tokens,
        },
        "outcome": _outcome(outcome, ahead),
        "steps": stepped(steps),
        "decision": None if record is None else explanation(record),
        "shadows": [
            {
                **_shadow(look.pick, record),
                "decision": None if look.record is None else explanation(look.record),
            }
            for look in looks
        ],
        **_replay(snapshot),
    }


def taken(record: DecisionRecord, now: float) -> dict[str, Any]:
    """Of a decision in the log of recent ones."""
    refused = {"kind": "refused", "reason": record.refusal, "detail": record.detail}
    return {
        "version": EXPLANATION_VERSION,
        "request": {
            "request_id": record.request_id,
            "model": record.model,
            "target_model": record.target_model,
            "priority": record.priority,
            "flow": record.flow,
            "prompt_tokens": record.prompt_tokens,
            "prefix_tokens": record.prefix_tokens,
            "waited_seconds": record.waited_seconds,
            "age_seconds": now - record.decided_at,
        },
        "outcome": refused if record.refusal else {"kind": "placed"},
        "steps": stepped(record.steps),
        "decision": explanation(record) if record.picked else None,
        "shadows": [_shadow(pick, record) for pick in record.shadows],
        **_replay(record.snapshot),
    }


def _shadow(pick: ShadowPick, record: DecisionRecord | None) -> dict[str, Any]:
    """Of a shadow profile. Beside the decision: that is taken again without it."""
    decided = record.picked[:1] if record is not None else ()
    return {**pick.as_dict(), "agrees": bool(pick.picked) and pick.picked[:1] == decided}


def _replay(snapshot: Replayable | None) -> dict[str, Any]:
    if snapshot is None:
        return {"replay": None}
    try:
        return {"replay": snapshot.as_dict()}
    except CannotRecord as error:  # of a plugin or a room that puts other than values on a request
        return {"replay": None, "replay_problem": str(error)}


def _outcome(outcome: Outcome | Waiting, ahead: int | None) -> dict[str, Any]:
    match outcome:
        case Refused(reason=reason, detail=detail):
            return {"kind": "refused", "reason": reason.value, "detail": detail}
        case Answer(status=status):
            return {"kind": "answered", "status": status}
        case Waiting():
            return {"kind": "waits", "ahead": ahead}
        case Placed():
            return {"kind": "placed"}
