"""Microseconds that a shadow profile takes for a decision, by its plugins and the pool's size."""

from __future__ import annotations

import random
import sys
import time
from typing import Any

import orjson

from epp import COMPILED
from epp.compose import Picker, compose
from epp.config.build import configuration_of
from epp.configured import Outside
from epp.core.endpoint import EndpointMetrics
from epp.datalayer.store import EndpointSpec
from epp.director import Arrival, Cause, Ending
from epp.payloads.usage import Usage
from epp.shadow.comparison import Shadowing

PROFILES: dict[str, list[dict[str, Any]]] = {
    "random": [{"pluginRef": "random-picker"}],
    "marginal cost": [{"pluginRef": "marginal-cost-scorer"}, {"pluginRef": "max-score-picker"}],
    "three scorers": [
        {"pluginRef": "queue-scorer", "weight": 2},
        {"pluginRef": "kv-cache-utilization-scorer", "weight": 2},
        {"pluginRef": "prefix-cache-scorer", "weight": 3},
        {"pluginRef": "max-score-picker"},
    ],
}
PLUGINS = sorted({p["pluginRef"] for profile in PROFILES.values() for p in profile})
HEADERS = {":path": "/v1/completions", ":method": "POST"}


def a_picker(live: str, shadow: str, share: float, size: int) -> Picker:
    document: dict[str, Any] = {
        "apiVersion": "llm-d.ai/v1alpha1",
        "kind": "EndpointPickerConfig",
        "plugins": [{"type": name} for name in PLUGINS],
        "schedulingProfiles": [{"name": "live", "plugins": PROFILES[live]}],
    }
    if shadow:
        profile = {"name": "shadow", "plugins": PROFILES[shadow], "maxLoopShare": share}
        document["shadowProfiles"] = [profile]
    shadowing = Shadowing(time.perf_counter, random.Random(2), lambda _profile, _error: None)
    outside = Outside(random.Random(1), lambda: "id", shadowing=shadowing)
    picker = compose(configuration_of(document), outside)
    addresses = (f"10.0.{n // 250}.{n % 250 + 1}" for n in range(size))
    picker.store.apply([EndpointSpec(f"e{n}", a, 80) for n, a in enumerate(addresses)])
    for endpoint in picker.store.endpoints:
        now = time.monotonic()
        picker.read(endpoint, EndpointMetrics(0, now, random.randrange(9), now), 0)
    return picker


def play(picker: Picker, requests: int) -> float:
    """Microseconds to begin a request."""
    rng, spent = random.Random(3), 0.0
    for n in range(requests):
        prompt = f"conversation {rng.randrange(50)} " * 40
        body = orjson.dumps({"model": "m", "stream": True, "prompt": prompt + str(n)})
        now = time.monotonic()
        arrival = Arrival(HEADERS, body, True, True, now)
        start = time.perf_counter()
        begun = picker.director.begin(arrival, now)
        spent += time.perf_counter() - start
        picker.director.responding(begun.facts, "", 200, now)
        picker.director.first_token(begun.facts, now + 0.01)
        usage = Usage(begun.facts.prompt_tokens, 20, 0)
        picker.director.finish(begun.facts, Ending(Cause.NATURAL, 200, usage=usage), now + 0.2)
    return spent / requests * 1e6


def main() -> None:
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    print(f"compiled: {COMPILED}")
    for size in (10, 100, 1000):
        for live, shadow in (
            ("three scorers", ""),
            ("three scorers", "random"),
            ("three scorers", "marginal cost"),
            ("three scorers", "three scorers"),
            ("marginal cost", "three scorers"),
            ("random", "three scorers"),
        ):
            picker = a_picker(live, shadow, 1.0, size)
            play(picker, requests // 10)
            began = play(picker, requests)
            line = f"{size:5} endpoints, {live:13} beside {shadow or 'nobody':13} {began:7.1f} us"
            for status in picker.shadow_statuses:
                overhead = (status.overhead_seconds or 0.0) * 1e6
                line += f", of them the shadow {overhead:6.1f}"
            print(line)
        picker = a_picker("three scorers", "marginal cost", 1e-9, size)
        play(picker, requests // 10)
        print(f"{size:5} endpoints, {'skipped':13} {play(picker, requests):31.1f} us")


if __name__ == "__main__":
    main()
