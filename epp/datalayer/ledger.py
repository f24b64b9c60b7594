"""The load of every endpoint: what we sent there, and what others did.

Reserving, moving and releasing happen here only. Load = own + foreign, where foreign is what a
scrape shows beyond our own requests at that time. So a restart with every place busy, a second
picker or direct traffic does not look like an empty pool.
"""

from __future__ import annotations

from typing import Final

from epp.core.decision import Lease
from epp.core.endpoint import NEVER, Endpoint, EndpointMetrics
from epp.core.stages import Role

# One reading can catch requests of ours between our count and the engine's, which looks like a
# foreign one for a moment. Half of a surprise is believed at once, the rest if it stays. The first
# reading after start or after a long silence is believed whole.
SMOOTHING: Final = 0.5
SILENCE_SECONDS: Final = 5.0

# An engine whose queue stands has no more places if its batch stays as large as it was though
# requests end: each place that becomes free is taken. One that works off prompts, or a huge one,
# queues too, but its batch grows, or shrinks as requests end. One that only prefills for others
# takes as many prompts in every step as its budget of tokens holds: what ends there shows nothing.
STEPS_OF_EVIDENCE: Final = 3


class _Queue:
    """Of an engine, as readings show it one after the other."""

    __slots__ = ("ended", "refilled", "short")

    def __init__(self, ended: int) -> None:
        self.ended = ended  # requests of ours, by the last reading that showed a step
        self.refilled = 0  # readings in a row with the same batch though requests had ended
        self.short = 0  # readings in a row with a smaller batch than there are places


class Ledger:
    """The only writer of `Endpoint.load`. Synchronous; every method is O(1)."""

    def __init__(self) -> None:
        self.leases_held = 0
        self._batch: dict[Endpoint, int] = {}  # requests known to fit the engine's batch
        self._queues: dict[Endpoint, _Queue] = {}  # in the engines that have one
        self._ended: dict[Endpoint, int] = {}  # requests of ours

    def reserve(self, endpoint: Endpoint, prompt_tokens: int, uncached_tokens: int) -> Lease:
        lease = Lease(endpoint, prompt_tokens, uncached_tokens)
        self.leases_held += 1
        self._add(lease, 1)
        return lease

    def prefilled(self, lease: Lease) -> bool:
        """The first token came. Whether that is news."""
        if not lease.held or not lease.prefilling:
            return False
        lease.prefilling = False
        lease.endpoint.load.prefilling_tokens -= lease.uncached_tokens
        return True

    def move(self, lease: Lease, endpoint: Endpoint) -> None:
        """Another endpoint served than the one picked."""
        if not lease.held or lease.endpoint is endpoint:
            return
        self._add(lease, -1)
        lease.endpoint = endpoint
        self._add(lease, 1)

    def release(self, lease: Lease) -> bool:
        """Whether this call gave the place back; a second call does nothing."""
        if not lease.held:
            return False
        lease.held = False
        self.leases_held -= 1
        endpoint = lease.endpoint
        if endpoint in self._queues and lease.role is Role.DECODE:
            self._ended[endpoint] = self._ended.get(endpoint, 0) + 1
        endpoint.load.ended_since_queue += 1
        self._add(lease, -1)
        return True

    def expect(self, endpoint: Endpoint) -> None:
        """It is about to be read for the first time."""
        endpoint.load.awaited = True

    def missed(self, endpoint: Endpoint) -> None:
        """An attempt to read it came to nothing."""
        endpoint.load.awaited = False

    def read(self, endpoint: Endpoint, metrics: EndpointMetrics, own_at_start: int) -> None:
        """Take in a scrape. `own_at_start` is `load.requests` when the scrape was sent.

        The server counted at some moment between then and now; the larger of our two counts is
        taken, because a request of ours mistaken for a foreign one would be counted twice.
        """
        load = endpoint.load
        load.awaited = False
        before = endpoint.metrics
        endpoint.metrics = metrics
        if metrics.running_read_at == metrics.waiting_read_at == NEVER:
            return
        own = max(own_at_start, load.requests)
        seen = max(0.0, float(metrics.running + metrics.waiting - own))
        silent = metrics.load_read_at - before.load_read_at > SILENCE_SECONDS
        load.foreign = seen if silent else load.foreign + SMOOTHING * (seen - load.foreign)
        if load.foreign < 0.05:
            load.foreign = 0.0
        missing = min(own_at_start, load.requests) - metrics.running - metrics.waiting
        load.unseen += SMOOTHING * (max(0, missing) - load.unseen)
        if metrics.waiting > 0:
            load.ended_since_queue = 0
            self._batch[endpoint] = metrics.running
        else:
            self._batch[endpoint] = max(self._batch.get(endpoint, 0), metrics.running)
        load.places = self._places(endpoint, before, metrics)
        load.requests_at_reading = own
        load.prefilling_tokens_at_reading = load.prefilling_tokens
        self._estimate(endpoint)

    def forget(self, endpoint: Endpoint) -> None:
        """The endpoint left the pool. Its leases may still be released."""
        self._batch.pop(endpoint, None)
        self._queues.pop(endpoint, None)
        self._ended.pop(endpoint, None)

    def _places(self, endpoint: Endpoint, before: EndpointMetrics, metrics: EndpointMetrics) -> int:
        known = endpoint.load.places if metrics.running <= endpoint.load.places else 0
        if not metrics.waiting or metrics.is_short_of_memory:
            self._queues.pop(endpoint, None)
            return known
        queue = self._queues.get(endpoint)
        if queue is None:
            queue = self._queues[endpoint] = _Queue(self._ended.get(endpoint, 0))
        ended = self._ended.get(endpoint, 0)
        if ended == queue.ended and (
            (metrics.running, metrics.waiting, metrics.kv_cache_usage)
            == (before.running, before.waiting, before.kv_cache_usage)
        ):
            return known  # a step that ends changes a reading or ends a request: it may be the same
        queue.short = queue.short + 1 if metrics.running < known else 0
        if metrics.running != before.running:
            queue.refilled = 0
        elif ended > queue.ended:
            queue.refilled += 1
        queue.ended = ended
        if queue.refilled >= STEPS_OF_EVIDENCE:
            return metrics.running
        return 0 if queue.short >= STEPS_OF_EVIDENCE else known

    def _add(self, lease: Lease, sign: int) -> None:
        """Put a lease on its endpoint, or with `sign` -1 take it off."""
        load = lease.endpoint.load
        load.requests += sign
        load.prompt_tokens += sign * lease.prompt_tokens
        load.uncached_tokens += sign * lease.uncached_tokens
        if lease.prefilling:
            load.prefilling_tokens += sign * lease.uncached_tokens
        self._estimate(lease.endpoint)

    def _estimate(self, endpoint: Endpoint) -> None:
        """Requests queued in the engine now: the last reading, moved by what we did since.

        An engine that queues has a full batch, so every request more waits and every one that
        ends lets one in. An engine that does not queue runs all it has: it takes at least as many
        as it was seen to run, and what goes beyond is taken to wait until a reading shows better.
        """
        load, metrics = endpoint.load, endpoint.metrics
        if metrics.running_read_at == metrics.waiting_read_at == NEVER:
            load.waiting = load.in_engine = 0  # no evidence is neither full nor empty
            return
        since = load.requests - load.requests_at_reading
        load.in_engine = max(0, metrics.running + metrics.waiting + since)
        if metrics.waiting > 0:
            load.waiting = max(0, metrics.waiting + since)
        else:
            batch = load.places or self._batch.get(endpoint, 0)
            load.waiting = max(0, metrics.running + since - batch)
