"""What the HTTP side of a model server counts, by route."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from epp.simulation.exposition import (
    Family,
    Histogram,
    Section,
    counter,
    histogram,
    labels,
    summary,
)

FINE_BOUNDS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5),
    *(5.0, 7.5, 10.0, 30.0, 60.0),
)
COARSE_BOUNDS = (0.1, 0.5, 1.0)


@dataclass(slots=True)
class _Route:
    requests: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    by_status: dict[str, int] = field(default_factory=dict)
    seconds: Histogram = field(default_factory=lambda: Histogram(COARSE_BOUNDS))


class HttpMetrics:
    """Record only known routes, so that clients cannot make the page grow."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], _Route] = {}
        self._seconds = Histogram(FINE_BOUNDS)

    def record(
        self,
        route: str,
        method: str,
        status: int,
        *,
        request_bytes: int,
        response_bytes: int,
        seconds: float,
    ) -> None:
        """`response_bytes` is the content length, 0 for a stream."""
        entry = self._routes.setdefault((route, method), _Route())
        group = f"{status // 100}xx"
        entry.by_status[group] = entry.by_status.get(group, 0) + 1
        entry.requests += 1
        entry.request_bytes += request_bytes
        entry.response_bytes += response_bytes
        entry.seconds.observe(seconds)
        self._seconds.observe(seconds)

    def section(self, created: float) -> Section:
        return Section("http_", lambda: self._families(created))

    def _families(self, created: float) -> Iterator[Family]:
        routes = self._routes.items()
        yield from counter(
            "http_requests",
            "Requests by route, method and status class.",
            [
                (labels({"handler": route, "method": method, "status": status}), count)
                for (route, method), entry in routes
                for status, count in entry.by_status.items()
            ],
            created,
        )
        yield from summary(
            "http_request_size_bytes",
            "Content length of requests by route.",
            [(labels({"handler": r}), e.requests, e.request_bytes) for (r, _), e in routes],
            created,
        )
        yield from summary(
            "http_response_size_bytes",
            "Content length of answers by route; streams count as 0.",
            [(labels({"handler": r}), e.requests, e.response_bytes) for (r, _), e in routes],
            created,
        )
        yield from histogram(
            "http_request_duration_highr_seconds",
            "Latency of all routes in fine buckets.",
            [((), self._seconds)],
            created,
        )
        yield from histogram(
            "http_request_duration_seconds",
            "Latency by route in coarse buckets.",
            [(labels({"handler": r, "method": m}), e.seconds) for (r, m), e in routes],
            created,
        )
