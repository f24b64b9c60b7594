"""What the status page shows: the pool with its load and its age, who waits, the last decisions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from epp.core.decision import DecisionRecord
from epp.core.endpoint import Endpoint
from epp.core.estimate import PoolEstimate
from epp.core.shadows import ShadowStatus

MAX_ENDPOINTS = 500
MAX_DECISIONS = 50


@dataclass(frozen=True, slots=True)
class ConfigurationStatus:
    """Which configuration is in force, and what became of the last one that was read."""

    generation: int  # 1 at the start, one more for each that was applied since
    digest: str  # the same for documents that say the same
    applied_at: float  # seconds since 1970
    problem: str = ""  # with the document as it is now, which is therefore not in force
    needs_restart: tuple[str, ...] = ()  # keys of the document in force that are not


@dataclass(frozen=True, slots=True)
class StatusSources:
    """Where the page is read, on each request for it."""

    pool_name: str
    endpoints: Callable[[], Sequence[Endpoint]]
    cached_tokens: Callable[[Endpoint], int]
    waiting: Callable[[], Iterable[tuple[int, int, int]]]  # priority, requests, bytes
    recent: Callable[[], Sequence[DecisionRecord]]  # oldest first
    ready: Callable[[], bool]
    configuration: Callable[[], ConfigurationStatus]
    estimate: Callable[[float], PoolEstimate | None]  # at a time; None while nothing is known
    now: Callable[[], float]
    shadows: Callable[[], Iterable[ShadowStatus]] = tuple


def status(sources: StatusSources) -> dict[str, object]:
    """JSON-able, bounded in size; no header and no prompt is in it."""
    now = sources.now()
    endpoints = sources.endpoints()
    recent = list(sources.recent())[-MAX_DECISIONS:]
    return {
        "pool": sources.pool_name,
        "ready": sources.ready(),
        "configuration": asdict(sources.configuration()),
        "learned": _learned(sources.estimate(now), now),
        "endpoint_count": len(endpoints),
        "endpoints": [_endpoint(sources, e, now) for e in endpoints[:MAX_ENDPOINTS]],
        "waiting": [
            {"priority": priority, "requests": requests, "bytes": size}
            for priority, requests, size in sources.waiting()
        ],
        "shadows": [_shadow(shadow) for shadow in sources.shadows()],
        "decisions": [
            {**record.as_dict(), "age_seconds": round(now - record.decided_at, 3)}
            for record in reversed(recent)
        ],
    }


def _endpoint(sources: StatusSources, endpoint: Endpoint, now: float) -> dict[str, object]:
    metrics, load = endpoint.metrics, endpoint.load
    return {
        "name": f"{endpoint.namespace}/{endpoint.name}",
        "address": endpoint.authority,
        "reachable": endpoint.reachable,
        "paused": endpoint.paused,
        "in_flight": load.requests,
        "foreign": round(load.foreign, 2),
        "waiting": load.waiting,
        "scraped_running": metrics.running,
        "scraped_waiting": metrics.waiting,
        "kv_cache_usage": round(metrics.kv_cache_usage, 4),
        "adapters": sorted(metrics.running_adapters | metrics.waiting_adapters),
        "cached_tokens": sources.cached_tokens(endpoint),
        "places": load.places or None,
        "prefill_ratio": round(endpoint.estimate.prefill_ratio, 3),
        "decode_ratio": round(endpoint.estimate.decode_ratio, 3),
        "kept_share": round(endpoint.estimate.kept_share, 3),
        "age_seconds": _age(now, metrics.load_read_at),
    }


def _shadow(shadow: ShadowStatus) -> dict[str, object]:
    """Since it is compared with the profile that decides now."""
    counts = shadow.counts
    return {
        "profile": shadow.profile,
        "live_profile": shadow.live_profile,
        "seconds": round(shadow.seconds, 3),
        "compared": counts.compared,
        "agreed": counts.agreed,
        "not_placed": counts.not_placed,
        "skipped": counts.skipped,
        "failed": counts.failed,
        "agreement": _rounded(shadow.agreement, 4),
        "predicted": counts.predicted,
        "cost_difference_seconds": _rounded(shadow.cost_difference_seconds, 6),
        "overhead_seconds": _rounded(shadow.overhead_seconds, 7),
        "loop_share": round(shadow.loop_share, 6),
        "max_loop_share": shadow.max_loop_share,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _learned(estimate: PoolEstimate | None, now: float) -> dict[str, object] | None:
    """Of a server like the pool; None while not even its prefill is known."""
    if estimate is None:
        return None
    return {
        "prefill_seconds": estimate.prefill_seconds,
        "prefill_token_seconds": estimate.prefill_token_seconds,
        "prefill_samples": round(estimate.prefill_samples),
        "prefill_age_seconds": _age(now, estimate.prefill_learned_at),
        "decode_seconds": estimate.decode_seconds,
        "decode_request_seconds": estimate.decode_slope_seconds,
        "decode_samples": round(estimate.decode_samples),
        "decode_age_seconds": _age(now, estimate.decode_learned_at),
        "output_tokens": round(estimate.output_tokens, 1),
        "uncached_tokens": round(estimate.uncached_tokens, 1),
    }


def _age(now: float, read_at: float) -> float | None:
    return None if math.isinf(read_at) else round(now - read_at, 3)
