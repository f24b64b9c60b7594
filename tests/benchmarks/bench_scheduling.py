"""Microseconds of one scheduling decision and of one use of the prefix index, by pool size."""

from __future__ import annotations

import gc
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

from epp.compose import Picker, compose
from epp.config.build import read_configuration
from epp.configured import Outside
from epp.core.endpoint import Endpoint, EndpointMetrics, Load
from epp.core.request import RequestFacts
from epp.datalayer.store import EndpointSpec
from epp.director import Arrival, Cause, Ending
from epp.payloads.payload import Payload
from epp.prefixcache.approximate import ApproximateIndex
from epp.prefixcache.blocks import hash_chain
from epp.prefixcache.settings import PrefixCacheSettings
from epp.scheduling.plugins.kv_cache_utilization_scorer import KvCacheUtilizationScorer
from epp.scheduling.plugins.max_score_picker import MaxScorePicker
from epp.scheduling.plugins.prefix_cache_scorer import PrefixCacheScorer
from epp.scheduling.plugins.queue_scorer import QueueScorer
from epp.scheduling.plugins.utilization_detector import UtilizationDetector
from epp.scheduling.profile import Profile, WeightedScorer
from epp.simulation.fleet.run import Tokens
from epp.simulation.policies.catalogue import policy

RNG = random.Random(1)
LONG_PROMPT = 400_000  # bytes: 1563 blocks of 64 tokens


def pool(size: int) -> list[Endpoint]:
    endpoints = []
    for n in range(size):
        metrics = EndpointMetrics(
            waiting_read_at=0.0, kv_cache_usage=RNG.random() * 0.7, kv_cache_usage_read_at=0.0
        )
        load = Load(requests=RNG.randrange(20), waiting=RNG.randrange(4))
        address = f"10.0.{n // 250}.{n % 250 + 1}"
        endpoints.append(Endpoint(f"pod-{n}", address, 8000, metrics=metrics, load=load))
    return endpoints


def show(name: str, action: Callable[[], object], times: int) -> None:
    for _ in range(times // 10 + 1):
        action()
    taken = []
    for _ in range(times):
        start = time.perf_counter_ns()
        action()
        taken.append((time.perf_counter_ns() - start) / 1e3)
    taken.sort()
    p50, p99 = taken[len(taken) // 2], taken[int(len(taken) * 0.99)]
    print(f"{name:58} p50 {p50:9.1f}  p99 {p99:9.1f} us")


def bench_profile() -> None:
    """Room of the default detector, then the profile of the built-in default configuration."""
    profile = Profile(
        "default",
        (),
        (
            WeightedScorer("queue-scorer", QueueScorer(), 2.0),
            WeightedScorer("kv-cache-utilization-scorer", KvCacheUtilizationScorer(), 2.0),
            WeightedScorer("prefix-cache-scorer", PrefixCacheScorer(), 3.0),
        ),
        MaxScorePicker(),
    )
    detector = UtilizationDetector()
    for size in (10, 100, 1000):
        endpoints = pool(size)
        cached = {endpoint: RNG.randrange(16) for endpoint in endpoints[::5]}
        request = RequestFacts("r", prefix_tokens=16, cached_tokens=cached)

        def rank(request: RequestFacts = request, endpoints: list[Endpoint] = endpoints) -> object:
            return profile.rank(request, profile.narrow(request, endpoints), RNG, 1)

        def room(endpoints: list[Endpoint] = endpoints) -> object:
            return detector.with_room(endpoints, 0.0)

        show(f"filters, 3 scorers, picker: {size} endpoints", rank, 20_000 // size)
        show(f"detector: {size} endpoints", room, 20_000 // size)


def bench_decision() -> None:
    """Room, prefix, what was learned, filters, scorers, picker and reservation: one attempt."""
    for name, document in (("default", None), ("queue 2, KV cache 2, prefix 3", policy("blend"))):
        for size in (10, 100, 1000):
            picker, ask, clock = a_busy_picker(document, size)
            facts = picker.director.begin(ask, next(clock)).facts

            def decide(
                picker: Picker = picker, facts: RequestFacts = facts, clock: Iterator[float] = clock
            ) -> None:
                placed = picker.configured.attempt(facts, next(clock))
                assert placed is not None
                picker.ledger.release(placed.decision.leases[0])

            show(f"decision, {name}: {size} endpoints", decide, max(1000, 20_000 // size))


def a_busy_picker(document: str | None, size: int) -> tuple[Picker, Arrival, Iterator[float]]:
    """One that has seen 300 requests from pick to end, with two in flight on every endpoint."""
    prompts = [RNG.randbytes(RNG.randrange(900, 20_000)) for _ in range(64)]
    payload = Payload("openai", model="m", streaming=True)

    def read(_arrival: Arrival) -> Payload:
        prompt = RNG.choice(prompts)
        return replace(payload, prompt=prompt, prompt_tokens=len(prompt) // 4)

    picker = compose(read_configuration(document), Outside(RNG, lambda: "r", read_payload=read))
    picker.store.apply(
        [EndpointSpec(f"e{n}", f"10.0.{n >> 8}.{n & 255}", 8000) for n in range(size)]
    )
    clock = count(100.0, 0.00001)  # type: ignore[call-overload]
    for endpoint in picker.store.endpoints:
        now = next(clock)
        reading = EndpointMetrics(
            waiting_read_at=now,
            running_read_at=now,
            kv_cache_usage=RNG.random() * 0.7,
            kv_cache_usage_read_at=now,
            block_size_tokens=16,
            num_blocks=20_000,
        )
        picker.read(endpoint, reading, 0)
    ask = Arrival({":path": "/v1/chat/completions"}, b"", True, True, 0.0)
    director = picker.director
    for n in range(300 + 2 * size):
        facts = director.begin(ask, now := next(clock)).facts
        if n >= 300:
            continue
        director.responding(facts, "", 200, now)
        director.first_token(facts, now + 0.00003 * facts.prompt_tokens)
        usage = Tokens(facts.prompt_tokens, 100, 0)
        director.finish(facts, Ending(Cause.NATURAL, status=200, usage=usage), now + 1.0)
    gc.collect()
    gc.freeze()  # as the picker does when it is ready
    return picker, ask, clock


def bench_index() -> None:
    prompt = RNG.randbytes(LONG_PROMPT)
    show("hash 400 000 bytes", lambda: hash_chain("m", "", prompt, 64, 131_072), 500)
    blocks = hash_chain("m", "", prompt, 64, 131_072)
    for size in (1, 100, 1000):
        bench_shared(size, blocks)
    index, one = ApproximateIndex(PrefixCacheSettings()), pool(1)[0]
    fresh = count()

    def add_new() -> None:
        start = next(fresh) * len(blocks)
        index.add(one, range(start, start + len(blocks)))

    show(f"add {len(blocks)} new blocks, evicting as many", add_new, 200)


def bench_shared(size: int, blocks: tuple[int, ...]) -> None:
    """Every server holds the prompt; then each of them another part of it."""
    endpoints, known = pool(size), len(blocks)
    index = ApproximateIndex(PrefixCacheSettings())
    for endpoint in endpoints:
        index.add(endpoint, blocks)
    show(f"match {known} blocks held by all of {size}", lambda: index.match(blocks, endpoints), 100)
    for n, endpoint in enumerate(endpoints):
        index.remove(endpoint, blocks[(n + 1) * known // size :])
    show(f"match {known} blocks held to {size} depths", lambda: index.match(blocks, endpoints), 100)
    show(f"add {known} known blocks", lambda: index.add(endpoints[-1], blocks), 100)


def bench_forget() -> None:
    settings = PrefixCacheSettings()
    taken = []
    for endpoint in pool(10):
        index = ApproximateIndex(settings)
        for start in range(0, settings.lru_capacity_per_server, 1000):
            index.add(endpoint, [hash((start, n)) for n in range(1000)])
        start_ns = time.perf_counter_ns()
        index.forget(endpoint)
        taken.append((time.perf_counter_ns() - start_ns) / 1e3)
    print(f"{'forget an endpoint with a full cache':58} max {max(taken):9.1f} us")


def bench_memory() -> None:
    """Bytes for each block and endpoint, keys included: alone, and shared by a hundred."""
    for size, shared in ((1000, False), (100, True)):
        endpoints = pool(size)
        tracemalloc.start()
        index = ApproximateIndex(PrefixCacheSettings())
        for n, endpoint in enumerate(endpoints):
            first = (1 << 60) + (0 if shared else n * 1000)
            index.add(endpoint, [first + depth for depth in range(1000)])
        used, _peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        kind = "shared by all" if shared else "of its own"
        print(f"memory: 1000 blocks {kind}, {size} endpoints: {used / len(index):.0f} bytes each")


if __name__ == "__main__":
    bench_profile()
    bench_decision()
    bench_index()
    bench_forget()
    bench_memory()
