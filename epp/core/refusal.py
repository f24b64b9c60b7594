"""Why a request was turned away. Rooms raise it; only `extproc` knows its HTTP status."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The same word is the response header, the metric label and the log field."""

    BAD_REQUEST = "bad-request"
    BODY_TIMEOUT = "body-timeout"
    BODY_TOO_LARGE = "body-too-large"
    SATURATED = "rejected-saturated"
    NOT_CACHED = "not-cached"
    NO_ENDPOINTS = "rejected-no-endpoints"
    TTL_EXPIRED = "rejected-ttl-expired"
    CANCELLED = "rejected-context-cancelled"
    SHUTTING_DOWN = "rejected-shutting-down"
    INTERNAL = "internal-error"


class Refused(Exception):
    """An expected refusal. Anything else that escapes a room is a bug."""

    def __init__(
        self, reason: Reason, detail: str, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds  # None: no advice
