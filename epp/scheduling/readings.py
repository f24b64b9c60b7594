"""What plugins want to know of many endpoints at once, for every request.

Plugins stay interpreted, since others subclass them; these loops are compiled.
"""

from __future__ import annotations

import math
import random
from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from epp.core.endpoint import NEVER, Endpoint, Load
from epp.core.request import RequestFacts

LEAST_TOKENS_OF_A_STEP: Final = 2048  # of prompts, that engines are set up for
LONG_LINE: Final = 0.25  # of what an engine runs at a time: a queue for a place that is too long
# So often the places of an engine are taken anew before one request tries whether it has more.
TURNOVERS: Final = 2


def requests_in_line(endpoints: Sequence[Endpoint]) -> list[float]:
    """Estimated requests waiting in each engine; of a pool never scraped, ours in flight.

    Where a server was never read, ours beyond what the others have of ours on average. Requests
    that readings do not show count as waiting, or a server that hangs would look idle.
    """
    counts: list[float] = []
    unread = 0
    ours = 0  # at those that were read
    for endpoint in endpoints:
        load = endpoint.load
        if endpoint.metrics.waiting_read_at == NEVER:
            unread += 1
        else:
            ours += load.requests
        counts.append(load.waiting + int(load.unseen))
    if not unread:
        return counts
    read = len(counts) - unread
    mean = ours / read if read else 0.0
    return [
        count
        if endpoint.metrics.waiting_read_at != NEVER
        else max(0.0, endpoint.load.requests - mean)
        for count, endpoint in zip(counts, endpoints)  # noqa: B905 - compiled only in this form
    ]


def free_kv_cache(endpoints: Sequence[Endpoint]) -> list[float]:
    """1 empty to 0 full, as last read.

    Where it never was: as much of it in use for each of our requests as in the others.
    """
    free: list[float] = []
    unread = False
    used, ours = 0.0, 0  # of those that were read
    for endpoint in endpoints:
        metrics = endpoint.metrics
        if metrics.kv_cache_usage_read_at == NEVER:
            unread = True
        else:
            used += metrics.kv_cache_usage
            ours += endpoint.load.requests
        free.append(1.0 - metrics.kv_cache_usage)
    if not unread or not ours:
        return free
    each = used / ours
    return [
        share
        if endpoint.metrics.kv_cache_usage_read_at != NEVER
        else max(0.0, 1.0 - each * endpoint.load.requests)
        for share, endpoint in zip(free, endpoints)  # noqa: B905 - compiled only in this form
    ]


def cached_shares(
    endpoints: Sequence[Endpoint], cached_tokens: Mapping[Endpoint, int], prompt_tokens: int
) -> list[float]:
    """How much of a prompt each has cached, 0 to 1. `prompt_tokens` is above zero."""
    return [cached_tokens.get(endpoint, 0) / prompt_tokens for endpoint in endpoints]


def tokens_to_prefill(request: RequestFacts, endpoints: Sequence[Endpoint]) -> list[float]:
    """Prompt tokens that each would have to compute before this request's first token.

    Those of our requests there without a first token so far, and of this prompt what is not cached.
    """
    prompt, cached = request.prompt_tokens, request.cached_tokens
    if not cached:
        return [float(endpoint.load.prefilling_tokens + prompt) for endpoint in endpoints]
    return [
        float(endpoint.load.prefilling_tokens + max(0, prompt - cached.get(endpoint, 0)))
        for endpoint in endpoints
    ]


def backlogs_times_batches(request: RequestFacts, endpoints: Sequence[Endpoint]) -> list[float]:
    """Tokens to prefill, this request's included, times our requests there with this one."""
    return [
        tokens * (endpoint.load.requests + 1)
        for tokens, endpoint in zip(  # noqa: B905 - compiled only in this form
            tokens_to_prefill(request, endpoints), endpoints
        )
    ]


def active_blocks(
    request: RequestFacts, endpoints: Sequence[Endpoint], overlap_weight: float, block_tokens: int
) -> list[float]:
    """Blocks to prefill, weighted, and blocks of all prompts in flight, with this request's."""
    return [
        (overlap_weight * tokens + endpoint.load.prompt_tokens + request.prompt_tokens)
        / block_tokens
        for tokens, endpoint in zip(  # noqa: B905 - compiled only in this form
            tokens_to_prefill(request, endpoints), endpoints
        )
    ]


def room_below(loads: Sequence[float], threshold: float) -> list[float]:
    """1 at no load to 0 from the threshold on, linear."""
    return [1.0 - min(load, threshold) / threshold for load in loads]


def with_prefix_cached(
    endpoints: Sequence[Endpoint],
    cached_tokens: Mapping[Endpoint, int],
    prompt_tokens: int,
    least_share: float,
) -> list[Endpoint]:
    """Those that have at least so much of a prompt cached. `prompt_tokens` is above zero."""
    return [e for e in endpoints if cached_tokens.get(e, 0) / prompt_tokens >= least_share]


def least_prefilling_tokens(endpoints: Sequence[Endpoint]) -> int:
    """Prompt tokens of requests without a first token, where they are fewest; at least one."""
    return min(endpoint.load.prefilling_tokens for endpoint in endpoints)


def best_scored(
    endpoints: Sequence[Endpoint], scores: Sequence[float], count: int, rng: random.Random
) -> list[Endpoint]:
    """The `count` best, or all if they are fewer. The order of equal ones is drawn."""
    if count == 1:
        highest = max(scores)
        ties = zip(endpoints, scores)  # noqa: B905 - compiled only in this form
        return drawn([endpoint for endpoint, score in ties if score == highest], 1, rng)
    lowest = _lowest_of_best(scores, count)
    above: list[Endpoint] = []  # fewer than `count`
    above_scores: list[float] = []
    last: list[Endpoint] = []  # of whom some are among the best
    # Of one length by the scorers' contract, which the profile checks.
    for endpoint, score in zip(endpoints, scores):  # noqa: B905 - compiled only in this form
        if score > lowest:
            above.append(endpoint)
            above_scores.append(score)
        elif score == lowest:
            last.append(endpoint)
    chosen: list[Endpoint] = []
    for highest in sorted(set(above_scores), reverse=True):
        ties = zip(above, above_scores)  # noqa: B905 - compiled only in this form
        equals = [endpoint for endpoint, score in ties if score == highest]
        chosen += drawn(equals, len(equals), rng)
    return chosen + drawn(last, count - len(chosen), rng)


def _lowest_of_best(scores: Sequence[float], count: int) -> float:
    """The lowest of the `count` best scores; infinitely low if there are fewer."""
    top: list[float] = []  # the best so far, ascending
    lowest, missing = -math.inf, count
    for score in scores:
        if missing > 0:
            missing -= 1
        elif score > lowest:
            del top[0]
        else:
            continue
        insort(top, score)
        if missing <= 0:
            lowest = top[0]
    return lowest


def longest_without(
    endpoints: Sequence[Endpoint], last: Mapping[str, int], count: int
) -> list[Endpoint]:
    """The `count` whose serial in `last`, by authority, is the lowest; who has none comes first."""
    serials = [last.get(endpoint.authority, -1) for endpoint in endpoints]
    if count == 1:
        return [endpoints[serials.index(min(serials))]]
    order = sorted(range(len(serials)), key=serials.__getitem__)
    return [endpoints[position] for position in order[:count]]


def drawn(endpoints: list[Endpoint], count: int, rng: random.Random) -> list[Endpoint]:
    """At most `count`, each with the same chance at each place. The list is used up."""
    many = len(endpoints)
    if many == 1:
        return endpoints[:count]
    count = min(count, many)
    for place in range(count):
        other = place + int(rng.random() * (many - place))
        endpoints[place], endpoints[other] = endpoints[other], endpoints[place]
    return endpoints[:count]


def unless_all_are_full(
    endpoints: Sequence[Endpoint],
    kv_cache_usage: float,
    has_room: Callable[[Endpoint], bool],
    *,
    only_places: bool = False,
) -> Sequence[Endpoint]:
    """All but those with a long queue for a place, as long as one has room.

    A short one may still be the best place, where a prefix is cached or the server is fast, and so
    may a queue for memory or behind prompts: scorers know its price.
    Has room: without a queue (with `only_places`, and with a place that is free) and with less KV
    cache in use, and of the others whom `has_room` says.
    Who was never read has no queue while it has no request of ours.
    """
    room = False
    closed: set[Endpoint] | None = None
    for endpoint in endpoints:
        load, metrics = endpoint.load, endpoint.metrics
        known = metrics.waiting_read_at != NEVER or not load.requests
        quiet = known and not load.waiting and metrics.kv_cache_usage < kv_cache_usage
        if quiet and not (only_places and has_no_place(load)):
            room = True
            continue
        queues = not known or _queues_for_a_place(endpoint)
        if room and not queues:
            continue  # whatever `has_room` says, which is dear: it stays, and closes nothing
        if has_room(endpoint):
            room = True
        elif queues:
            if closed is None:
                closed = set()
            closed.add(endpoint)
    if not room:
        return ()
    if closed is None:
        return endpoints
    return [endpoint for endpoint in endpoints if endpoint not in closed]


def has_no_place(load: Load) -> bool:
    """All are taken, of as many as its queue has shown not too long ago."""
    return 0 < load.places <= load.in_engine and load.ended_since_queue < TURNOVERS * load.places


def _queues_for_a_place(endpoint: Endpoint) -> bool:
    """Long for what it runs at a time, while its places are known or it can be for nothing else.

    An engine takes as many prompts in a step as its budget of tokens holds: if fewer were to be
    computed when the queue was read, nobody there waited for prompts. Fewer now say nothing of a
    queue that was read seconds ago: it may have gone with them.
    """
    load, metrics = endpoint.load, endpoint.metrics
    if not load.waiting or load.waiting < LONG_LINE * (load.places or metrics.running):
        return False
    if load.places:
        return True
    computes_at_once = load.prefilling_tokens_at_reading < LEAST_TOKENS_OF_A_STEP
    return metrics.waiting > 0 and computes_at_once and not metrics.is_short_of_memory
