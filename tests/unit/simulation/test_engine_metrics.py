import math
from random import Random

import pytest

from epp.simulation.engine import Engine
from epp.simulation.engine_metrics import EngineMetrics, token_count_bounds
from epp.simulation.profiles import PROFILES
from epp.simulation.requests import EngineRequest
from epp.simulation.scheduler import EngineSettings


def run(requests: list[EngineRequest], speed: float = 1.0, num_blocks: int = 1001) -> EngineMetrics:
    settings = EngineSettings(PROFILES["8b-h100"], num_blocks, jitter_sigma=0, stall_probability=0)
    engine, metrics = Engine(settings, Random(0)), EngineMetrics(2048, speed)
    for request in requests:
        engine.submit(request, 0.0)
    while engine.next_event_at() < math.inf:
        for step in engine.advance(engine.next_event_at()):
            metrics.record(step)
    return metrics


def test_token_count_bounds() -> None:
    expected = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
    assert token_count_bounds(2048) == expected


def test_tokens_are_counted_once() -> None:
    chain = list(range(6))
    metrics = run([EngineRequest(str(i), 100, 5, block_hashes=chain) for i in range(3)])
    assert (metrics.prompt_tokens, metrics.cached_tokens) == (300, 192)
    assert metrics.generation_tokens == 15
    assert metrics.histograms["iteration_tokens_total"].total == 315
    assert metrics.histograms["request_prefill_kv_computed_tokens"].total == 108


def test_several_steps_read_at_once_count_like_one_by_one() -> None:
    settings = EngineSettings(PROFILES["8b-h100"], 1001, jitter_sigma=0, stall_probability=0)
    engine, metrics = Engine(settings, Random(0)), EngineMetrics(2048, 1.0)
    engine.submit(EngineRequest("r", 100, 5), 0.0)
    for step in engine.advance(60.0):
        metrics.record(step)
    single = run([EngineRequest("r", 100, 5)])
    assert metrics.histograms == single.histograms


def test_phases_of_a_request_add_up() -> None:
    request = EngineRequest("r", 1000, 11)
    metrics = run([EngineRequest("first", 100, 3), request])
    seconds = {name: h.total for name, h in metrics.histograms.items() if name.endswith("_seconds")}
    assert seconds["e2e_request_latency_seconds"] == pytest.approx(
        seconds["request_queue_time_seconds"] + seconds["request_inference_time_seconds"]
    )
    assert seconds["request_inference_time_seconds"] == pytest.approx(
        seconds["request_prefill_time_seconds"] + seconds["request_decode_time_seconds"]
    )
    gaps = metrics.histograms["inter_token_latency_seconds"]
    assert sum(gaps.counts) == 12
    assert gaps.total == pytest.approx(seconds["request_decode_time_seconds"])


def test_a_fast_clock_reports_real_seconds() -> None:
    slow, fast = run([EngineRequest("r", 100, 5)]), run([EngineRequest("r", 100, 5)], speed=10)
    name = "e2e_request_latency_seconds"
    assert slow.histograms[name].total == pytest.approx(10 * fast.histograms[name].total)


def test_finish_reasons_and_preemptions() -> None:
    metrics = run(
        [EngineRequest(str(i), 100, 60, stop_after_tokens=50 if i else None) for i in range(4)],
        num_blocks=32,
    )
    assert (metrics.finished["stop"], metrics.finished["length"]) == (3, 1)
    assert metrics.preemptions == metrics.histograms["request_num_preemptions"].total > 0
