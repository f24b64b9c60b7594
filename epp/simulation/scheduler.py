"""What one engine step computes: vLLM V1's scheduling order over running and waiting requests."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from epp.simulation.adapters import AdapterSlots
from epp.simulation.blocks import BlockPool
from epp.simulation.profiles import HardwareProfile
from epp.simulation.requests import EngineRequest


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """One engine: its hardware, its limits and its noise."""

    profile: HardwareProfile
    num_blocks: int  # as vLLM reports it: one of them is reserved
    block_size_tokens: int = 16
    max_num_batched_tokens: int = 8192  # token budget of a step
    max_num_seqs: int = 256  # requests in the running list
    max_adapters: int = 1  # LoRA adapters in one batch
    max_queued_requests: int | None = None  # waiting requests before new ones are refused
    adapter_load_seconds: float = 0.03  # from host memory
    adapter_first_load_seconds: float = 0.03  # from disk, where it was never loaded
    shared_read_saving: float = 0.9  # of reading cached tokens that others in the batch read too
    jitter_sigma: float = 0.04  # of the lognormal factor on step times; 0 is none
    stall_probability: float = 0.001  # of a step that is held up, for instance by GC
    stall_seconds: tuple[float, float] = (0.02, 0.05)  # range of such a stall

    def __post_init__(self) -> None:
        least = {
            "num_blocks": 2,
            "block_size_tokens": 1,
            "max_num_batched_tokens": 1,
            "max_num_seqs": 1,
            "max_adapters": 1,
        }
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"{name} must be at least {minimum}, not {getattr(self, name)}")

    def load_seconds(self, loads: int, first_loads: int) -> float:
        """For adapters that a step needs; `first_loads` of the loads are from disk."""
        again = loads - first_loads
        return again * self.adapter_load_seconds + first_loads * self.adapter_first_load_seconds

    def context_read(self, context: int, held_blocks: int) -> float:
        """Tokens of KV cache that the decodes of a step read, a shared prefix mostly once.

        `context` is summed over the decodes. The saving is fitted to one published figure: 43.9 ms
        per output token of 32b-h100-tp2 on 150 shared prefixes at 60 requests/s on 8 servers.
        """
        shared = context - held_blocks * self.block_size_tokens
        return context - self.shared_read_saving * shared if shared > 0 else context

    @property
    def usable_blocks(self) -> int:
        return self.num_blocks - 1


@dataclass(slots=True)
class Batch:
    """The work of one step. `counts` says how many tokens of each request it computes."""

    room: int  # tokens left of the budget
    requests: list[EngineRequest] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    preempted: list[EngineRequest] = field(default_factory=list)
    tokens: int = 0
    decode_context: int = 0
    prefill_pairs: float = 0.0
    adapter_loads: int = 0
    adapter_first_loads: int = 0  # of them

    def add(self, request: EngineRequest, count: int) -> None:
        self.requests.append(request)
        self.counts.append(count)
        self.tokens += count
        self.room -= count
        if count == 1:
            self.decode_context += request.computed_tokens
        else:
            self.prefill_pairs += count * (request.computed_tokens + count / 2)


class Scheduler:
    """Running requests first, in admission order, then waiting ones first come first served."""

    def __init__(self, settings: EngineSettings) -> None:
        self.running: list[EngineRequest] = []
        self.waiting: deque[EngineRequest] = deque()
        self.deferred = 0  # waiting requests that the last step passed over for their adapter
        self.pool = BlockPool(settings.usable_blocks)
        self._settings = settings
        self._adapters = AdapterSlots(settings.max_adapters)
        self._blocked_at: tuple[EngineRequest, int] | None = None

    def schedule(self, now: float) -> Batch:
        """Choose the work of the step that starts now and hold the blocks that it fills."""
        batch = Batch(room=self._settings.max_num_batched_tokens)
        self._continue_running(batch)
        self.deferred = 0
        in_batch = {request.adapter for request in self.running if request.adapter}
        if self.waiting and not batch.preempted:
            self._admit(batch, in_batch, now)
        if in_batch:
            before = self._adapters.first_loads
            batch.adapter_loads = self._adapters.use(in_batch)
            batch.adapter_first_loads = self._adapters.first_loads - before
        return batch

    def retire(self) -> None:
        """Drop finished and aborted requests and free their blocks."""
        for request in self.running:
            if request.done:
                self._free(request)
        self.running = [request for request in self.running if not request.done]
        if any(request.aborted for request in self.waiting):
            self.waiting = deque(request for request in self.waiting if not request.aborted)

    def _continue_running(self, batch: Batch) -> None:
        index = 0
        while index < len(self.running) and batch.room > 0:
            request = self.running[index]
            count = min(request.known_tokens - request.computed_tokens, batch.room)
            while not self._extend(request, count):
                victim = self.running.pop()
                self._preempt(victim)
                batch.preempted.append(victim)
                if victim is request:
                    return
            batch.add(request, count)
            index += 1

    def _extend(self, request: EngineRequest, count: int) -> bool:
        """Hold blocks for `count` more tokens of a running request; False without room."""
        end = request.computed_tokens + count
        missing = math.ceil(end / self._settings.block_size_tokens) - len(request.blocks)
        if missing > 0:
            fresh = self.pool.take((), missing)
            if fresh is None:
                return False
            request.blocks += fresh
        self._store_full_blocks(request, end)
        return True

    def _store_full_blocks(self, request: EngineRequest, end: int) -> None:
        """Full blocks count as cached from the step that computes them, as in vLLM."""
        full = min(end // self._settings.block_size_tokens, len(request.block_hashes))
        for position in range(request.stored_blocks, full):
            self.pool.store(request.blocks[position], request.block_hashes[position])
        request.stored_blocks = max(request.stored_blocks, full)

    def _admit(self, batch: Batch, in_batch: set[str], now: float) -> None:
        passed_over: list[EngineRequest] = []
        while self.waiting and batch.room > 0 and len(self.running) < self._settings.max_num_seqs:
            request = self.waiting[0]
            if not self._adapters.fits(request.adapter, in_batch):
                passed_over.append(self.waiting.popleft())
                continue
            if not self._begin(request, batch):
                break
            self.running.append(self.waiting.popleft())
            if request.adapter:
                in_batch.add(request.adapter)
            if math.isnan(request.scheduled_at):
                request.scheduled_at = now
        self.waiting.extendleft(reversed(passed_over))
        self.deferred = len(passed_over)

    def _begin(self, request: EngineRequest, batch: Batch) -> bool:
        """Hold the blocks of a request's cached prefix and of its first chunk."""
        if self._blocked_at == (request, self.pool.releases):
            return False  # until something is released, room only shrinks
        size = self._settings.block_size_tokens
        # The last known token is always computed: its output is what is wanted.
        cached = self.pool.cached_prefix(request.block_hashes, (request.known_tokens - 1) // size)
        found = len(cached) * size
        start = max(found, min(request.received_tokens, request.known_tokens - 1))
        count = min(request.known_tokens - start, batch.room)
        blocks = self.pool.take(cached, math.ceil((start + count) / size) - len(cached))
        if blocks is None:
            self._blocked_at = (request, self.pool.releases)
            return False
        request.blocks = blocks
        request.computed_tokens = start
        request.stored_blocks = len(cached)
        if math.isnan(request.scheduled_at):
            request.cached_tokens = found
        self._store_full_blocks(request, start + count)
        batch.add(request, count)
        return True

    def _preempt(self, request: EngineRequest) -> None:
        self._free(request)
        request.received_tokens = 0
        request.preemptions += 1
        self.waiting.appendleft(request)

    def _free(self, request: EngineRequest) -> None:
        self.pool.release(request.blocks)
        request.blocks = []
        request.computed_tokens = 0
