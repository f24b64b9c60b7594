"""What a request would cost the whole pool on each endpoint: its own time and that of the others.

Plugins stay interpreted, since others subclass them; these loops are compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from epp.core.endpoint import NEVER, Endpoint, EndpointMetrics
from epp.core.estimate import PoolEstimate, ServerEstimate
from epp.core.request import RequestFacts

FULL_CACHE: Final = 0.9  # a server that queues above this waits for memory
SCARCE_FROM: Final = 0.4  # of a cache in use: from here on what is placed drives others out
PATIENCE: Final = 10.0  # prefills: who waits longer is late
LATE_SHARE: Final = 0.5  # of every further second, that a late one loses
HITS_WORTH_ONE: Final = 5.0  # for each token computed: then one driven out is one to compute again
MOST_WORTH: Final = 10.0
ARRIVALS_ASSUMED: Final = 8.0  # at the mean rate of all, beside those that a server had


def marginal_costs(request: RequestFacts, endpoints: Sequence[Endpoint]) -> list[float]:
    """The lower the better; only differences between endpoints mean something.

    In seconds of all requests together, or in prompt tokens while nothing is known of the speed.
    """
    foreign_tokens = _tokens_of_a_foreign_request(endpoints)
    pool = request.estimate
    if pool is None:
        return [_in_tokens(request, endpoint, foreign_tokens) for endpoint in endpoints]
    worth = _worth(pool)
    return [_in_seconds(request, endpoint, foreign_tokens, worth, pool) for endpoint in endpoints]


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
    foreign_tokens, worth = _tokens_of_a_foreign_request(endpoints), _worth(pool)
    return _in_seconds(request, other, foreign_tokens, worth, pool) - _in_seconds(
        request, first, foreign_tokens, worth, pool
    )


def _in_tokens(request: RequestFacts, endpoint: Endpoint, foreign_tokens: float) -> float:
    """Those in front, its own, and its own once more for all that stand still meanwhile."""
    load = endpoint.load
    in_flight = load.requests + load.foreign
    backlog = load.prefilling_tokens + load.foreign * foreign_tokens
    cost = backlog + request.uncached_on(endpoint) * (1.0 + in_flight)
    return cost + _adapter(request, endpoint, in_flight) if request.adapter else cost


def _in_seconds(
    request: RequestFacts,
    endpoint: Endpoint,
    foreign_tokens: float,
    worth: float,
    pool: PoolEstimate,
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
    own_wait = _own_wait(pool, wait, base + token * request.prompt_tokens)
    if load.waiting and (load.places or endpoint.metrics.waiting):
        own_wait = max(own_wait, _wait_for_a_place(pool, endpoint))
    cost = own_wait + work + stall + decode * estimate.decode_ratio
    # Who waits for others sees nothing of an answer. Huge prompts must still wait for each other.
    cost += min(wait, pool.mean_prefill_seconds)
    arrival_rate = _arrival_rate(pool, estimate, request.attempted_at)
    if arrival_rate > 0.0:
        cost += arrival_rate * _later_seconds(pool, wait, work, ratio)
    metrics = endpoint.metrics
    capacity = metrics.num_blocks * metrics.block_size_tokens
    if capacity and metrics.kv_cache_usage_read_at != NEVER:
        needed = uncached + pool.output_tokens
        used = capacity * metrics.kv_cache_usage + estimate.tokens_since_reading
        cost += _memory(pool, metrics, needed, capacity - used)
        driven_out = worth * needed * _scarcity((used + needed / 2.0) / capacity)
        cost += driven_out * token * (1.0 + in_flight)
    if request.adapter:
        cost += _adapter(request, endpoint, in_flight)
    return cost


def _own_wait(pool: PoolEstimate, wait: float, prefill: float) -> float:
    """What the wait costs the request itself, whose whole prompt is computed in `prefill`.

    A late one has not much more to lose. Where more come than can be served, huge prompts would
    otherwise leave their long queue for the servers of the short ones, and all would be late.
    """
    if wait <= PATIENCE * prefill:
        return wait
    patience = PATIENCE * max(prefill, pool.mean_prefill_seconds)
    return wait if wait <= patience else patience + LATE_SHARE * (wait - patience)


def _wait_for_a_place(pool: PoolEstimate, endpoint: Endpoint) -> float:
    """Until as many have ended there as its queue is long, by the shorter of two guesses.

    Lives hold the time in queues, too, so they are too long where there are many; and where little
    comes, little ends, however fast it is.
    """
    load = endpoint.load
    at_a_time = load.places or endpoint.metrics.running
    if not at_a_time:
        return 0.0
    seconds = pool.residence_seconds / at_a_time
    if pool.finish_rate > 0.0:
        seconds = min(seconds, 1.0 / pool.finish_rate)
    return load.waiting * seconds * endpoint.estimate.decode_ratio


def _adapter(request: RequestFacts, endpoint: Endpoint, in_flight: float) -> float:
    """Everybody there stands still while it is loaded, and only this one waits for a slot."""
    loading = request.adapter_loads.get(endpoint, 0.0) * (1.0 + in_flight)
    return loading + request.adapter_waits.get(endpoint, 0.0)


def _arrival_rate(pool: PoolEstimate, estimate: ServerEstimate, now: float) -> float:
    """Requests a second that come to this server; the mean of all while little is known of it.

    Very many with one prefix come to those who have it. To compute it elsewhere delays few.
    """
    if not estimate.arrivals or pool.arrival_rate <= 0.0:
        return pool.arrival_rate
    seconds = ARRIVALS_ASSUMED / pool.arrival_rate + now - estimate.arrivals_since
    return (ARRIVALS_ASSUMED + estimate.arrivals) / seconds


def _later_seconds(pool: PoolEstimate, wait: float, work: float, stretch: float) -> float:
    """What requests to come lose by a longer queue, if one comes every second.

    None loses more than its own prefill, for it would rather go elsewhere. To count in what it
    would do to others there (the more, the more are in flight) makes huge prompts avoid each
    other: in the laboratory half of the short ones then come too late.
    """
    base, token = pool.prefill_seconds, pool.prefill_token_seconds
    with_it = pool.prompts.delay(wait + work, base, token, stretch)
    return with_it - pool.prompts.delay(wait, base, token, stretch)


def _memory(pool: PoolEstimate, metrics: EndpointMetrics, needed: float, free: float) -> float:
    """Until enough requests have ended that this one and those queued before it have room."""
    if pool.finish_rate <= 0.0:
        return 0.0
    missing = needed - free
    queue = metrics.waiting if metrics.kv_cache_usage > FULL_CACHE else 0
    if missing <= 0.0 and not queue:
        return 0.0
    requests = max(0.0, missing) / max(1.0, pool.uncached_tokens + pool.output_tokens)
    return (requests + queue) / pool.finish_rate


def _worth(pool: PoolEstimate) -> float:
    """Tokens to compute again for each token that is driven out of a cache which is in use.

    Where hardly anything is hit again, nothing is lost. Where a token is hit tens of times, it is
    missed at once, and so are those that its return drives out: one lost prefix costs several.
    """
    hits = pool.hits_per_computed_token / HITS_WORTH_ONE
    return min(MOST_WORTH, hits * hits)


def _scarcity(usage: float) -> float:
    """The part of what is placed that drives others out: the more, the less is left."""
    scarce = max(0.0, usage - SCARCE_FROM) / (1.0 - SCARCE_FROM)
    return scarce * scarce


def _tokens_of_a_foreign_request(endpoints: Sequence[Endpoint]) -> float:
    """Tokens still to be computed: as many as one of ours has on average over these endpoints."""
    requests = tokens = 0
    for endpoint in endpoints:
        requests += endpoint.load.requests
        tokens += endpoint.load.prefilling_tokens
    return tokens / requests if requests else 0.0
