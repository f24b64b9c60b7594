"""When to look at an endpoint again: often where something happens, rarely where nothing does."""

from __future__ import annotations

import math
import random

from epp.core.endpoint import Endpoint, EndpointMetrics
from epp.datalayer.scraping.settings import ScrapeSettings

SURPRISE = 0.5  # requests by which a reading may differ from what the ledger holds
STRETCH = 1.5  # of the interval, for each quiet reading
JITTER = 0.2  # of the interval, only ever added: the interval is a promise to the server
GATHER = 0.1  # of the interval: quiet endpoints that are due within it are asked at one moment
FIRST_BACK_OFF_SECONDS = 0.1
QUIET_SCRAPES_PER_SECOND = 500  # of all quiet endpoints together: a tenth of a core


def next_interval(
    previous: float,
    endpoint: Endpoint,
    metrics: EndpointMetrics,
    requests_at_start: int,
    settings: ScrapeSettings,
    pool_size: int,
) -> float:
    """Seconds from the start of the scrape that gave `metrics` to the start of the next.

    Ask after the ledger has taken in the reading: one that it does not fully believe yet is worth
    another look. `previous` is the last answer for this endpoint.
    """
    busy = endpoint.load.requests > 0 or metrics.running > 0 or metrics.waiting > 0
    if busy or is_surprising(endpoint, metrics, requests_at_start):
        return settings.interval_seconds
    return min(previous * STRETCH, quiet_interval(settings, pool_size))


def is_surprising(endpoint: Endpoint, metrics: EndpointMetrics, requests_at_start: int) -> bool:
    """Whether the engine holds another number of requests than the ledger accounts for."""
    load = endpoint.load
    own = max(requests_at_start, load.requests)
    return abs(metrics.running + metrics.waiting - own - load.foreign) > SURPRISE


def quiet_interval(settings: ScrapeSettings, pool_size: int) -> float:
    """The longest interval; longer in a very large pool, so that quiet endpoints leave room."""
    return max(
        settings.interval_seconds,
        settings.idle_interval_seconds,
        pool_size / QUIET_SCRAPES_PER_SECOND,
    )


def jittered(interval: float, rng: random.Random) -> float:
    return interval * (1.0 + JITTER * rng.random())


def next_launch(
    launched_at: float, interval: float, settings: ScrapeSettings, rng: random.Random
) -> float:
    """When to ask again. Quiet endpoints in groups: most of a scrape's price is waking for it."""
    when = launched_at + jittered(interval, rng)
    if interval <= settings.interval_seconds:
        return when
    grain = interval * GATHER
    return math.ceil(when / grain) * grain


def back_off(failures: int, settings: ScrapeSettings, rng: random.Random) -> float:
    """Seconds until the next attempt after so many failures in a row, one at least."""
    doubled = FIRST_BACK_OFF_SECONDS * 2.0 ** min(failures - 1, 16)
    wait = min(settings.max_back_off_seconds, doubled * (0.75 + 0.5 * rng.random()))
    return max(wait, settings.interval_seconds)
