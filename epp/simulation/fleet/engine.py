"""The engine model of `epp.simulation.engine` at the price of a fleet: O(1) for a decode step.

Both compute the same steps to the last bit, which a test shows. This one neither lists the tokens
of a step nor moves single KV blocks: what all decoding requests have in common is counted once.
"""

from __future__ import annotations

import math
from collections import deque
from random import Random
from typing import Final

from epp.simulation.adapters import AdapterSlots
from epp.simulation.fleet.encoder_cache import EncoderCache
from epp.simulation.fleet.kv_cache import Holding, KvCache
from epp.simulation.fleet.requests import FleetRequest
from epp.simulation.fleet.segments import Segment, block_chain
from epp.simulation.scheduler import EngineSettings

# Why a request is not admitted to a step: the step computes as many tokens as it may, or encodes as
# many for other servers, the batch has as many requests, the KV cache has no room, or no place is
# left for one more adapter.
HELD_UP: Final = ("prefill", "images", "places", "memory", "adapters")


class FleetEngine:
    """One step at a time: `next_event_at`, then `step`, which leaves what happened in lists."""

    def __init__(self, settings: EngineSettings, rng: Random) -> None:
        if settings.max_num_batched_tokens < settings.max_num_seqs:
            raise ValueError("max_num_batched_tokens is below max_num_seqs")  # as vLLM demands
        self.settings = settings
        self.profile = settings.profile  # a slow node is given another one
        self.cache = KvCache(settings.usable_blocks)
        self.ends_at = math.inf  # of the present step
        self.started_at = 0.0
        # What the last step brought.
        self.first_tokens: list[FleetRequest] = []
        self.finished: list[FleetRequest] = []
        self.resumed: list[tuple[FleetRequest, float]] = []  # and the gap that a preemption made
        # Admitted since the caller emptied it: their keys and values have come from elsewhere.
        self.fetched: list[FleetRequest] = []
        self.decoded = 0  # requests that had their next token after the time of the step
        # What the present step does.
        self.prefilled_tokens = 0
        # Of it, for prompts, for images and for adapters.
        self.prefill_seconds = self.encode_seconds = self.load_seconds = 0.0
        self.held_up = ""  # what it lacks to admit all who wait: a word of `HELD_UP`
        # What a scrape sees. It changes only at the end of a step, as in vLLM.
        self.running_seen = self.waiting_seen = 0
        self.usage_seen = 0.0
        # Tokens of all answers so far, and requests that had one.
        self.generated_seen = self.first_tokens_seen = 0
        self.preemptions = self.adapter_loads = self.steps = 0

        self._rng = rng
        self._block = settings.block_size_tokens
        self._arrived: list[FleetRequest] = []
        self._waiting: deque[FleetRequest] = deque()
        self._running: dict[FleetRequest, None] = {}  # in order of admission
        self._prefills: list[tuple[FleetRequest, int]] = []  # of the present step, and tokens
        self._encodes: list[FleetRequest] = []  # of the present step, with nothing but images
        self._encoder_cache = EncoderCache(settings.max_num_batched_tokens)  # as vLLM's
        self._partial: FleetRequest | None = None  # running, its prompt not computed: the last one
        self._serial = 0
        self._blocked: FleetRequest | None = None
        self._blocked_at = -1
        # Decoding requests, all together. `_round` counts the steps with decodes, and `_phases`
        # says who needs a block in which round.
        self._round = self._decoding = 0
        self._context = 0  # computed tokens of all
        self._phases: list[dict[FleetRequest, None]] = [{} for _ in range(self._block)]
        self._due: dict[int, list[FleetRequest]] = {}  # by the round that brings the last token
        self._slots = AdapterSlots(settings.max_adapters)
        self._adapters: dict[str, int] = {}  # running requests by adapter
        self._adapters_used = -1  # `_adapters_changed` when the slots were told
        self._adapters_changed = 0
        self.live_adapters: dict[str, int] = {}  # with live requests, running or waiting

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting) + len(self._arrived)

    @property
    def idle(self) -> bool:
        return self.ends_at == math.inf

    @property
    def decoding(self) -> int:
        return self._decoding

    @property
    def decode_context(self) -> float:
        """Tokens that the decodes of a step read."""
        return self.settings.context_read(self._context, self.cache.held)

    def unfinished_prefill(self) -> tuple[int, int]:
        """Of the prompt that the present step does not end: tokens left, and computed before."""
        if not self._prefills:
            return 0, 0
        request, count = self._prefills[-1]
        computed = request.computed + count
        return max(0, request.prompt_tokens - computed), computed

    def queued(self) -> list[FleetRequest]:
        """Those that are not in the batch, in order."""
        return [*self._waiting, *self._arrived]

    def adapter_waits(self, adapter: str) -> tuple[float, bool]:
        """Seconds to load it, and whether one in use has to give way first."""
        slots = self._slots
        loads = 0 if slots.is_loaded(adapter) else 1
        first_loads = 0 if slots.was_loaded(adapter) else 1
        seconds = self.settings.load_seconds(loads, first_loads)
        return seconds, not slots.fits(adapter, self._adapters.keys())

    def can_hold(self, request: FleetRequest) -> bool:
        """Whether the whole cache has room for its prompt and its answer."""
        if request.encode_only:
            return True
        blocks = -(-(request.prompt_tokens + request.output_tokens) // self._block)
        return blocks <= self.cache.capacity

    def cached_tokens(self, request: FleetRequest) -> int:
        """Of its prompt, in the cache now. The last token is always computed."""
        limit = (request.prompt_tokens - 1) // self._block
        return self._found(request, limit).stored * self._block

    def submit(self, request: FleetRequest, now: float) -> None:
        """Take a request in. The caller has run all steps that end by `now`."""
        request.arrived_at = now
        if request.adapter:
            adapters = self.live_adapters
            adapters[request.adapter] = adapters.get(request.adapter, 0) + 1
        self._arrived.append(request)
        if self.ends_at == math.inf:
            self._start(now)

    def let_go(self, request: FleetRequest, now: float) -> None:
        """Free the blocks that were kept for it after its end. Who waits for them may begin."""
        holding = request.holding
        if holding is None:
            return
        self.cache.release(holding)
        request.holding = None
        if self.ends_at == math.inf and self._waiting:
            self._start(now)

    def step(self) -> None:
        """End the present step and start the next."""
        now = self.ends_at
        self.steps += 1
        self.first_tokens = []
        self.resumed = []
        finished = self._count_decodes(now)
        for request, count in self._prefills:
            self._end_chunk(request, count, now, finished)
        if finished:
            self._retire(finished)
        if self._encodes:
            finished.extend(self._encodes)
        self.finished = finished
        self.running_seen = len(self._running)
        self.waiting_seen = len(self._waiting)
        self.usage_seen = self.cache.held / self.cache.capacity
        self.first_tokens_seen += len(self.first_tokens)
        self.generated_seen += self.decoded + len(self.first_tokens) + len(self.resumed)
        self._start(now)

    def _count_decodes(self, now: float) -> list[FleetRequest]:
        self.decoded = self._decoding
        if not self._decoding:
            return []
        self._round += 1
        self._context += self._decoding
        finished = self._due.pop(self._round, None)
        if finished is None:
            return []
        for request in finished:
            self._leave_decoding(request)
            request.last_token_at = now
        return finished

    def _end_chunk(
        self, request: FleetRequest, count: int, now: float, finished: list[FleetRequest]
    ) -> None:
        request.computed += count
        if request.computed < request.prompt_tokens + request.generated:
            self._partial = request
            return
        request.generated += 1
        if request.generated == 1:
            request.first_token_at = now
            self.first_tokens.append(request)
        else:
            self.resumed.append((request, now - request.last_token_at))
        request.last_token_at = now
        if request.generated >= request.output_tokens:
            finished.append(request)
        else:
            self._enter_decoding(request)

    def _retire(self, finished: list[FleetRequest]) -> None:
        finished.sort(key=_serial_of)
        for request in finished:
            if request.keeps_blocks:
                self._keep(request)
            else:
                self._free(request)
            del self._running[request]
            adapter = request.adapter
            if adapter:
                self._leave_adapter(adapter)
                self.live_adapters[adapter] -= 1
                if not self.live_adapters[adapter]:
                    del self.live_adapters[adapter]

    # What all decoding requests have in common.

    def _enter_decoding(self, request: FleetRequest) -> None:
        request.base = request.generated - self._round
        self._decoding += 1
        self._context += request.computed
        self._phases[(request.computed - self._round) % self._block][request] = None
        self._due.setdefault(request.output_tokens - request.base, []).append(request)

    def _leave_decoding(self, request: FleetRequest) -> None:
        """Bring its own counts up to now. It has been taken from `_due`."""
        request.generated = request.base + self._round
        request.computed = request.prompt_tokens + request.generated - 1
        self._decoding -= 1
        self._context -= request.computed
        del self._phases[(request.computed - self._round) % self._block][request]

    def _free(self, request: FleetRequest) -> None:
        self.cache.release(self._keep(request))
        request.holding = None
        request.computed = 0

    def _keep(self, request: FleetRequest) -> Holding:
        """What it has computed can be found from now on."""
        holding = request.holding
        assert holding is not None
        holding.blocks = max(holding.blocks, -(-request.computed // self._block))
        self.cache.store(holding, request.computed // self._block)
        return holding

    # The next step.

    def _start(self, now: float) -> None:
        if self._arrived:
            self._waiting.extend(self._arrived)
            self._arrived.clear()
        prefills: list[tuple[FleetRequest, int]] = []
        self._prefills = prefills
        if self._encodes:
            self._encodes = []
        preempted = False
        growing = self._phases[-self._round % self._block]
        if growing:
            if len(growing) <= self.cache.free:
                self.cache.take(len(growing))
            else:
                preempted = self._make_room(growing, now)
        room = self.settings.max_num_batched_tokens - self._decoding
        partial = self._partial
        if partial is not None:
            self._partial = None
            count = min(partial.prompt_tokens + partial.generated - partial.computed, room)
            if self._extend(partial, count):
                prefills.append((partial, count))
                room -= count
            else:
                self._preempt(partial)
                preempted = True
        self.held_up = ""
        if self._waiting:
            if preempted:
                self.held_up = "memory"
            else:
                self._admit(prefills, room, now)
        if not self._decoding and not prefills and not self._encodes:
            self.ends_at = math.inf
            return
        self.started_at = now
        self.ends_at = now + self._seconds(prefills)

    def _seconds(self, prefills: list[tuple[FleetRequest, int]]) -> float:
        tokens, context, pairs = self._decoding, self._context, 0.0
        computed = encoded = 0
        for request, count in prefills:
            tokens += count
            computed += count
            if request.images and not request.encoded:
                encoded += self._images_begun(request, count)
            if count == 1:
                context += request.computed
            else:
                pairs += count * (request.computed + count / 2)
        self.prefilled_tokens = computed
        settings = self.settings
        read = settings.context_read(context, self.cache.held)
        if tokens:
            seconds = self.profile.step_seconds(tokens, self._decoding + len(prefills), read, pairs)
        else:
            seconds = self.profile.host_seconds
        for request in self._encodes:
            encoded += self._images_begun(request, request.prompt_tokens)
        alone = self._seconds_without_prefill(seconds) if prefills else seconds
        jitter, sigma = 1.0, settings.jitter_sigma
        if sigma:
            jitter = math.exp(self._rng.gauss(-sigma * sigma / 2, sigma))  # mean 1
            seconds *= jitter
            alone *= jitter
        self.prefill_seconds = seconds - alone
        self.encode_seconds = encoded * self.profile.encoder_token_seconds * jitter
        seconds += self.encode_seconds
        self.load_seconds = 0.0
        if settings.stall_probability and self._rng.random() < settings.stall_probability:
            seconds += self._rng.uniform(settings.stall_seconds[0], settings.stall_seconds[1])
        if self._adapters and self._adapters_used != self._adapters_changed:
            self._adapters_used = self._adapters_changed
            before = self._slots.first_loads
            loads = self._slots.use(self._adapters.keys())
            self.adapter_loads += loads
            self.load_seconds = settings.load_seconds(loads, self._slots.first_loads - before)
            seconds += self.load_seconds
        return seconds

    def _images_begun(self, request: FleetRequest, count: int) -> int:
        """Tokens of the images that the next `count` of its prompt need, and no cache has."""
        tokens = 0
        start, end = request.computed, request.computed + count
        for begin, image in request.images:
            if begin < end and start < begin + image.tokens:
                tokens += self._encoder_cache.missing_tokens(image)
        return tokens

    def _seconds_without_prefill(self, seconds: float) -> float:
        decoding = self._decoding
        if not decoding:
            return 0.0
        read = self.settings.context_read(self._context, self.cache.held)
        return min(seconds, self.profile.step_seconds(decoding, decoding, read, 0.0))

    def _extend(self, request: FleetRequest, count: int) -> bool:
        """Hold blocks for the next chunk of a prompt; False without room."""
        holding = request.holding
        assert holding is not None
        end = request.computed + count
        missing = -(-end // self._block) - holding.blocks
        if missing > 0:
            if missing > self.cache.free:
                return False
            self.cache.take(missing)
            holding.blocks += missing
        self.cache.store(holding, end // self._block)
        return True

    def _admit(self, prefills: list[tuple[FleetRequest, int]], room: int, now: float) -> None:
        passed_over: list[FleetRequest] = []
        waiting, adapters = self._waiting, self._adapters
        while waiting:
            if room <= 0:
                self.held_up = "images" if self._encodes else "prefill"
                break
            if len(self._running) >= self.settings.max_num_seqs:
                self.held_up = "places"
                break
            request = waiting[0]
            if request.encode_only:
                room -= request.prompt_tokens
                self._encodes.append(waiting.popleft())
                continue
            adapter = request.adapter
            if adapter and not self._slots.fits(adapter, adapters.keys()):
                passed_over.append(waiting.popleft())
                continue
            count = self._begin(request, room, now)
            if not count:
                self.held_up = "memory"
                break
            waiting.popleft()
            room -= count
            prefills.append((request, count))
            self._serial += 1
            request.serial = self._serial
            self._running[request] = None
            if adapter:
                if adapter not in adapters:
                    adapters[adapter] = 0
                    self._adapters_changed += 1
                adapters[adapter] += 1
        if passed_over:
            self.held_up = self.held_up or "adapters"
            waiting.extendleft(reversed(passed_over))

    def _begin(self, request: FleetRequest, room: int, now: float) -> int:
        """Hold the cached prefix of a request and its first chunk; its tokens, 0 without room."""
        cache, size = self.cache, self._block
        if self._blocked is request and self._blocked_at == cache.releases:
            return 0  # until something is released, room only shrinks
        known = request.prompt_tokens + request.generated
        found = self._found(request, (known - 1) // size)
        cached = found.stored * size
        start = max(cached, min(request.received_tokens, known - 1))
        count = min(known - start, room)
        if not cache.begin(found, -(-(start + count) // size) - found.stored):
            self._blocked, self._blocked_at = request, cache.releases
            return 0
        request.holding = found
        request.computed = start
        if math.isnan(request.scheduled_at):
            request.scheduled_at = now
            request.cached_tokens = cached
            if request.received_tokens:
                self.fetched.append(request)
        cache.store(found, (start + count) // size)
        return count

    def _found(self, request: FleetRequest, limit: int) -> Holding:
        chain = request.chain
        if chain is None:
            segments = request.segments
            if request.answer_key:
                segments = [*segments, Segment(request.answer_key, request.output_tokens)]
            chain = request.chain = block_chain(segments, self._block)
        return self.cache.lookup(chain, limit)

    def _make_room(self, growing: dict[FleetRequest, None], now: float) -> bool:
        """Not every request that needs a block finds one: the newest give theirs back.

        In order of admission, as the plain engine does. Whether any was preempted.
        """
        preempted = False
        cache = self.cache
        for request in sorted(growing, key=_serial_of):
            if request not in growing:
                continue  # preempted meanwhile
            while not cache.free:
                victim = next(reversed(self._running))
                if victim is not self._partial:
                    self._due[victim.output_tokens - victim.base].remove(victim)
                    self._leave_decoding(victim)
                    victim.last_token_at = now
                else:
                    self._partial = None
                self._preempt(victim)
                preempted = True
                if victim is request:
                    return True
            cache.take(1)
        return preempted

    def _preempt(self, request: FleetRequest) -> None:
        self._free(request)
        request.received_tokens = 0
        del self._running[request]
        if request.adapter:
            self._leave_adapter(request.adapter)
        request.preemptions += 1
        self.preemptions += 1
        self._waiting.appendleft(request)

    def _leave_adapter(self, adapter: str) -> None:
        self._adapters[adapter] -= 1
        if not self._adapters[adapter]:
            del self._adapters[adapter]
            self._adapters_changed += 1


def _serial_of(request: FleetRequest) -> int:
    return request.serial
