"""What a request would cost the whole pool on each endpoint: its own time and that of the others.

Plugins stay interpreted, since others subclass them; these loops are compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from epp.core.endpoint import NEVER, Endpoint
from epp.core.estimate import PoolEstimate
from epp.core.request import RequestFacts

FULL_CACHE: Final = 0.9  # a server that queues above this waits for memory


def marginal_costs(request: RequestFacts, endpoints: Sequence[Endpoint]) -> list[float]:
    """The lower the better; only differences between endpoints mean something.

    In seconds of all requests together, or in prompt tokens while nothing is known of the speed.
    """
    foreign_tokens = _tokens_of_a_foreign_request(endpoints)
    pool = request.estimate
    if pool is None:
        return [_in_tokens(request, endpoint, foreign_tokens) for endpoint in endpoints]
    return [_in_seconds(request, endpoint, foreign_tokens, pool) for endpoint in endpoints]


def cost_difference(
    request: RequestFacts, endpoints: Sequence[Endpoint], first: Endpoint, other: Endpoint
) -> float | None:
    """How much more `other` would cost than `first`, in seconds of all requests together.

    None while nothing is known of the speed. `endpoints` are those that were considered.
    """
    pool = request.estimate
    if pool is None:
        return None
    if first is other:
        return 0.0
    foreign_tokens = _tokens_of_a_foreign_request(endpoints)
    return _in_seconds(request, other, foreign_tokens, pool) - _in_seconds(
        request, first, foreign_tokens, pool
    )


def _in_tokens(request: RequestFacts, endpoint: Endpoint, foreign_tokens: float) -> float:
    """Those in front, its own, and its own once more for all that stand still meanwhile."""
    load = endpoint.load
    in_flight = load.requests + load.foreign
    backlog = load.prefilling_tokens + load.foreign * foreign_tokens
    return backlog + request.uncached_on(endpoint) * (1.0 + in_flight)


def _in_seconds(
    request: RequestFacts, endpoint: Endpoint, foreign_tokens: float, pool: PoolEstimate
) -> float:
    load, estimate = endpoint.load, endpoint.estimate
    in_flight = load.requests + load.foreign
    uncached = request.uncached_on(endpoint)
    ratio = estimate.prefill_ratio
    base = pool.prefill_seconds * ratio
    token = pool.prefill_token_seconds * ratio

    wait = token * (estimate.awaited_tokens + load.foreign * foreign_tokens)
    if estimate.clear_at > request.attempted_at:
        wait += estimate.clear_at - request.attempted_at
    work = base + token * uncached
    stall = in_flight * token * uncached
    decode = pool.decode_seconds + pool.decode_slope_seconds * (2.0 * in_flight + 1.0)
    cost = wait + work + stall + decode * estimate.decode_ratio
    cost += _later_requests(pool, wait, work, ratio)
    cost += _memory(pool, endpoint, uncached)
    if request.adapter:
        cost += request.adapter_loads.get(endpoint, 0.0) * (1.0 + in_flight)
        cost += request.adapter_waits.get(endpoint, 0.0)
    return cost


def _later_requests(pool: PoolEstimate, wait: float, work: float, stretch: float) -> float:
    """What requests still to come lose by the queue being longer than it would be.

    None loses more than its own prefill, for it would rather go elsewhere. To count in what it
    would do to others there (the more, the more are in flight) makes huge prompts avoid each
    other: in the laboratory half of the short ones then come too late.
    """
    if pool.arrival_rate <= 0.0:
        return 0.0
    base, token = pool.prefill_seconds, pool.prefill_token_seconds
    with_it = pool.prompts.delay(wait + work, base, token, stretch)
    return pool.arrival_rate * (with_it - pool.prompts.delay(wait, base, token, stretch))


def _memory(pool: PoolEstimate, endpoint: Endpoint, uncached: int) -> float:
    """Until enough requests have ended that this one and those queued before it have room."""
    metrics = endpoint.metrics
    capacity = metrics.num_blocks * metrics.block_size_tokens
    if not capacity or pool.finish_rate <= 0.0 or metrics.kv_cache_usage_read_at == NEVER:
        return 0.0
    free = capacity * (1.0 - metrics.kv_cache_usage) - endpoint.estimate.tokens_since_reading
    missing = uncached + pool.output_tokens - free
    queue = metrics.waiting if metrics.kv_cache_usage > FULL_CACHE else 0
    if missing <= 0.0 and not queue:
        return 0.0
    requests = max(0.0, missing) / max(1.0, pool.uncached_tokens + pool.output_tokens)
    return (requests + queue) / pool.finish_rate


def _tokens_of_a_foreign_request(endpoints: Sequence[Endpoint]) -> float:
    """Tokens still to be computed: as many as one of ours has on average over these endpoints."""
    requests = tokens = 0
    for endpoint in endpoints:
        requests += endpoint.load.requests
        tokens += endpoint.load.prefilling_tokens
    return tokens / requests if requests else 0.0
