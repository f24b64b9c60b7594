"""A vLLM V1 engine in virtual time: submit requests, advance to a moment, read the steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random

from epp.simulation.requests import EngineRequest
from epp.simulation.scheduler import Batch, EngineSettings, Scheduler


class QueueFull(Exception):
    """The waiting queue is at its limit."""


class RequestTooLarge(Exception):
    """The whole KV cache could not hold the request."""


@dataclass(slots=True)
class Step:
    """What became visible at the end of one step. Tokens of a step all appear at `ended_at`."""

    started_at: float
    ended_at: float
    computed_tokens: int = 0
    emitted: list[EngineRequest] = field(default_factory=list)  # one new token each
    first_tokens: list[EngineRequest] = field(default_factory=list)  # those whose first it is
    gaps_seconds: list[float] = field(default_factory=list)  # since the token before, if any
    finished: list[EngineRequest] = field(default_factory=list)
    preempted: list[EngineRequest] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Gauges:
    """What a scrape sees. It changes only at the end of a step, as in vLLM."""

    running: int = 0
    waiting: int = 0  # includes preempted and deferred requests
    deferred: int = 0  # waiting for a LoRA slot
    kv_cache_usage: float = 0.0
    adapters: tuple[str, ...] = ()  # with live requests, running or waiting


class Engine:
    """Deterministic for a given `rng`. All times are seconds on the caller's clock.

    The caller advances the engine to `now` before it submits at `now`.
    """

    def __init__(self, settings: EngineSettings, rng: Random) -> None:
        self.settings = settings
        self.gauges = Gauges()
        self._rng = rng
        self._scheduler = Scheduler(settings)
        self._arrived: list[EngineRequest] = []  # during the present step, which misses them
        self._adapters: dict[str, int] = {}  # live requests by adapter
        self._aborted = False  # something was aborted in the present step
        self._batch: Batch | None = None
        self._started_at = 0.0
        self._ends_at = math.inf

    @property
    def running(self) -> int:
        """Requests in the running list at this moment, unlike in the gauges."""
        return len(self._scheduler.running)

    @property
    def waiting(self) -> int:
        """Requests that hold no place at this moment, unlike in the gauges."""
        return len(self._scheduler.waiting) + len(self._arrived)

    @property
    def kv_cache_usage(self) -> float:
        return self._scheduler.pool.usage

    def next_event_at(self) -> float:
        """The end of the present step; infinity when idle."""
        return self._ends_at

    def submit(self, request: EngineRequest, now: float) -> None:
        """Take a request in. An idle engine starts a step with it at once.

        Raises QueueFull or RequestTooLarge; then nothing has changed.
        """
        if now > self._ends_at:
            raise ValueError(f"submitted at {now}, but the step that ended before is not advanced")
        limit = self.settings.max_queued_requests
        if limit is not None and self._would_wait() > limit:
            raise QueueFull(f"the waiting queue is at its limit of {limit} requests")
        tokens = request.prompt_tokens + request.output_tokens
        room = self.settings.usable_blocks * self.settings.block_size_tokens
        if tokens > room:
            raise RequestTooLarge(f"{tokens} tokens, the KV cache holds {room}")
        request.arrived_at = now
        if request.adapter:
            self._adapters[request.adapter] = self._adapters.get(request.adapter, 0) + 1
        self._arrived.append(request)
        if self._batch is None:
            self._start_step(now)

    def abort(self, request: EngineRequest) -> None:
        """End a live request without an answer. Its blocks are freed when the present step ends."""
        if not request.done:
            request.aborted = self._aborted = True
            self._forget_adapter(request)

    def advance(self, now: float) -> list[Step]:
        """Run all steps that end by `now`; the oldest first."""
        steps: list[Step] = []
        while self._ends_at <= now and self._batch is not None:
            ended_at = self._ends_at
            steps.append(self._finish_step(self._batch))
            self._start_step(ended_at)
        return steps

    def _would_wait(self) -> int:
        """Length of the waiting queue with one more request, if no running one ends."""
        waiting = len(self._scheduler.waiting)
        if waiting:
            return waiting + len(self._arrived) + 1
        places = self.settings.max_num_seqs - len(self._scheduler.running)
        return len(self._arrived) + 1 - places

    def _start_step(self, now: float) -> None:
        self._scheduler.waiting.extend(r for r in self._arrived if not r.aborted)
        self._arrived.clear()
        batch = self._scheduler.schedule(now)
        if batch.requests:
            self._batch = batch
            self._started_at = now
            self._ends_at = now + self._step_seconds(batch)
        else:
            self._batch = None
            self._ends_at = math.inf

    def _step_seconds(self, batch: Batch) -> float:
        settings = self.settings
        pool = self._scheduler.pool
        seconds = settings.profile.step_seconds(
            batch.tokens,
            len(batch.requests),
            settings.context_read(batch.decode_context, pool.capacity - pool.free),
            batch.prefill_pairs,
        )
        if sigma := settings.jitter_sigma:
            seconds *= math.exp(self._rng.gauss(-sigma * sigma / 2, sigma))  # mean 1
        if settings.stall_probability and self._rng.random() < settings.stall_probability:
            seconds += self._rng.uniform(*settings.stall_seconds)
        return seconds + settings.load_seconds(batch.adapter_loads, batch.adapter_first_loads)

    def _finish_step(self, batch: Batch) -> Step:
        now = self._ends_at
        step = Step(self._started_at, now, batch.tokens, preempted=batch.preempted)
        for request, count in zip(batch.requests, batch.counts, strict=True):
            request.computed_tokens += count
            if request.computed_tokens == request.known_tokens and not request.aborted:
                self._emit(request, step)
        for request in step.finished:
            self._forget_adapter(request)
        if step.finished or self._aborted:
            self._scheduler.retire()
            self._aborted = False
        self.gauges = Gauges(
            running=len(self._scheduler.running),
            waiting=len(self._scheduler.waiting),
            deferred=self._scheduler.deferred,
            kv_cache_usage=self._scheduler.pool.usage,
            adapters=tuple(self._adapters),
        )
        return step

    @staticmethod
    def _emit(request: EngineRequest, step: Step) -> None:
        request.generated_tokens += 1
        if request.generated_tokens == 1:
            request.first_token_at = step.ended_at
            step.first_tokens.append(request)
        else:
            step.gaps_seconds.append(step.ended_at - request.last_token_at)
        request.last_token_at = step.ended_at
        step.emitted.append(request)
        if request.done:
            step.finished.append(request)

    def _forget_adapter(self, request: EngineRequest) -> None:
        if request.adapter:
            self._adapters[request.adapter] -= 1
            if not self._adapters[request.adapter]:
                del self._adapters[request.adapter]
