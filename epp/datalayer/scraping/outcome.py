"""What one scrape came to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from epp.core.endpoint import EndpointMetrics


class Failure(StrEnum):
    """The word is also the metric label."""

    REFUSED = "refused"  # nobody listens there
    UNREACHABLE = "unreachable"  # no way to the host
    TIMEOUT = "timeout"  # to connect or to answer in full
    LOST = "lost"  # the connection broke before the answer was complete
    HTTP_STATUS = "http-status"
    MALFORMED = "malformed"  # no HTTP, or a page without any series that was wanted
    TOO_LARGE = "too-large"


@dataclass(frozen=True, slots=True)
class ScrapeOutcome:
    """Exactly one of `metrics` and `failure` is given."""

    started_at: float  # monotonic seconds: the request was sent, or the connection was tried
    finished_at: float
    requests_at_start: int  # `load.requests` of the endpoint at that time
    metrics: EndpointMetrics | None = None
    failure: Failure | None = None
    status: int = 0  # of the HTTP answer, if there was one
    detail: str = ""  # of a failure, for people
