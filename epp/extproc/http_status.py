"""The one place where a refusal becomes an HTTP answer."""

from __future__ import annotations

import math
from typing import assert_never

import orjson

from epp.core.refusal import Reason, Refused
from epp.extproc.actions import Immediate
from epp.extproc.headers import DROPPED_REASON


def status_of(reason: Reason) -> tuple[int, str]:
    """HTTP status, and the word for the class of error used in bodies and `error_code` labels."""
    match reason:
        case Reason.BAD_REQUEST:
            return 400, "BadRequest"
        case Reason.BODY_TIMEOUT:
            return 408, "RequestTimeout"
        case Reason.NOT_CACHED:
            return 412, "PreconditionFailed"
        case Reason.BODY_TOO_LARGE:
            return 413, "PayloadTooLarge"
        case Reason.SATURATED | Reason.TTL_EXPIRED:
            return 429, "ResourceExhausted"
        case Reason.NO_ENDPOINTS | Reason.CANCELLED | Reason.SHUTTING_DOWN:
            return 503, "ServiceUnavailable"
        case Reason.INTERNAL:
            return 500, "Internal"
        case _:
            assert_never(reason)


def immediate(refusal: Refused) -> Immediate:
    """The answer a client gets: an OpenAI-style error document whose message names the cause."""
    status, code = status_of(refusal.reason)
    headers = {"content-type": "application/json", DROPPED_REASON: refusal.reason.value}
    if refusal.retry_after_seconds is not None:
        headers["retry-after"] = str(max(1, math.ceil(refusal.retry_after_seconds)))
    body = orjson.dumps(
        {
            "error": {
                "message": f"inference error: {code} - {refusal.detail}",
                "type": code,
                "param": None,
                "code": refusal.reason.value,
            }
        }
    )
    return Immediate(status, headers, body, f"epp_{refusal.reason.value}")
