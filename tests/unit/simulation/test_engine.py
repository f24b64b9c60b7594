import math
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epp.simulation.engine import Engine, QueueFull, RequestTooLarge, Step
from epp.simulation.profiles import PROFILES
from epp.simulation.requests import EngineRequest
from epp.simulation.scheduler import EngineSettings

QUIET = EngineSettings(
    PROFILES["8b-h100"], num_blocks=25_001, jitter_sigma=0.0, stall_probability=0.0
)


def engine(seed: int = 0, base: EngineSettings = QUIET, **changes: object) -> Engine:
    return Engine(replace(base, **changes), Random(seed))  # type: ignore[arg-type]


def run_until_idle(subject: Engine) -> list[Step]:
    steps: list[Step] = []
    while subject.next_event_at() < math.inf:
        steps += subject.advance(subject.next_event_at())
    return steps


def first_token_seconds(subject: Engine, request: EngineRequest, now: float) -> float:
    subject.advance(now)
    subject.submit(request, now)
    while math.isnan(request.first_token_at):
        subject.advance(subject.next_event_at())
    return request.first_token_at - now


@pytest.mark.parametrize(
    ("prompt", "expected_ms"),
    [
        pytest.param(256, 11, id="256"),
        pytest.param(2048, 68, id="2k"),
        pytest.param(8192, 299, id="8k"),
    ],
)
def test_unloaded_first_token(prompt: int, expected_ms: float) -> None:
    seconds = first_token_seconds(engine(), EngineRequest("r", prompt, 1), 0.0)
    assert seconds * 1e3 == pytest.approx(expected_ms, rel=0.15)


def test_unloaded_decode_step() -> None:
    subject = engine()
    subject.submit(EngineRequest("r", 512, 20), 0.0)
    gaps = [gap for step in run_until_idle(subject) for gap in step.gaps_seconds]
    assert len(gaps) == 19
    assert 1e3 * sum(gaps) / len(gaps) == pytest.approx(7.0, rel=0.15)


def test_a_short_prompt_waits_for_the_step_of_a_long_one() -> None:
    alone = first_token_seconds(engine(), EngineRequest("short", 32, 1), 0.0)
    busy = engine()
    busy.submit(EngineRequest("long", 16_384, 4), 0.0)
    behind = first_token_seconds(busy, EngineRequest("short", 32, 1), 0.01)
    assert behind > 20 * alone


def test_a_long_prefill_stalls_the_decodes_of_its_server() -> None:
    subject = engine()
    subject.submit(EngineRequest("decoding", 32, 200), 0.0)
    subject.advance(0.1)
    subject.submit(EngineRequest("long", 2000, 1), 0.1)
    gaps = [gap for step in run_until_idle(subject) for gap in step.gaps_seconds]
    assert max(gaps) > 5 * min(gaps)


def test_a_cached_prefix_shortens_the_second_prefill() -> None:
    subject = engine()
    chain = list(range(256))
    cold = first_token_seconds(subject, EngineRequest("a", 4112, 1, block_hashes=chain), 0.0)
    warm = first_token_seconds(subject, EngineRequest("b", 4112, 1, block_hashes=chain), 1.0)
    assert warm < cold / 8


def test_without_memory_limit_the_hit_rate_is_the_analytic_one() -> None:
    subject = engine()
    requests = [
        EngineRequest(
            str(i), 1024, 1, block_hashes=[*range(32), *range(1000 * (i + 1), 1000 * (i + 1) + 32)]
        )
        for i in range(10)
    ]
    for i, request in enumerate(requests):
        subject.advance(float(i))
        subject.submit(request, float(i))
    run_until_idle(subject)
    assert [r.cached_tokens for r in requests] == [0] + [512] * 9


def test_pressure_on_the_cache_preempts_and_everything_still_finishes() -> None:
    subject = engine(num_blocks=65)  # 1024 tokens
    requests = [EngineRequest(str(i), 100, 150) for i in range(8)]
    for request in requests:
        subject.submit(request, 0.0)
    steps = run_until_idle(subject)
    assert sum(len(step.preempted) for step in steps) == sum(r.preemptions for r in requests) > 0
    assert all(r.generated_tokens == 150 for r in requests)


def test_more_sequences_are_nearly_free_until_the_knee() -> None:
    def throughput(count: int) -> float:
        subject = engine()
        for i in range(count):
            subject.submit(EngineRequest(str(i), 128, 100), 0.0)
        steps = run_until_idle(subject)
        return count * 100 / steps[-1].ended_at

    one, sixteen, many = throughput(1), throughput(16), throughput(250)
    assert sixteen > 11 * one
    assert many < 140 * one


def test_gauges_change_only_when_a_step_ends() -> None:
    subject = engine(max_num_seqs=1)
    subject.submit(EngineRequest("a", 8000, 2), 0.0)
    subject.submit(EngineRequest("b", 10, 2), 0.001)
    assert (subject.gauges.running, subject.gauges.waiting) == (0, 0)
    subject.advance(subject.next_event_at())
    assert (subject.gauges.running, subject.gauges.waiting) == (1, 0)  # b came during the step
    subject.advance(subject.next_event_at())
    assert (subject.gauges.running, subject.gauges.waiting) == (0, 1)
    run_until_idle(subject)
    assert (subject.gauges.running, subject.gauges.waiting) == (0, 0)
    assert subject.gauges.kv_cache_usage == 0.0


def test_usage_is_the_share_of_blocks_in_use() -> None:
    subject = engine(num_blocks=11, block_size_tokens=32)
    subject.submit(EngineRequest("a", 90, 3), 0.0)
    subject.advance(subject.next_event_at())
    assert subject.gauges.kv_cache_usage == pytest.approx(0.3)


def test_an_abort_frees_its_blocks_with_the_present_step() -> None:
    subject = engine()
    doomed = EngineRequest("a", 1000, 500, adapter="x")
    subject.submit(doomed, 0.0)
    subject.advance(0.2)
    subject.abort(doomed)
    steps = run_until_idle(subject)
    assert len(steps) == 1
    assert steps[0].emitted == []
    assert subject.kv_cache_usage == 0.0
    assert subject.gauges.adapters == ()


def test_an_aborted_waiting_request_never_runs() -> None:
    subject = engine(max_num_seqs=1)
    doomed = EngineRequest("b", 10, 5)
    subject.submit(EngineRequest("a", 10, 5), 0.0)
    subject.submit(doomed, 0.0)
    subject.advance(subject.next_event_at())
    subject.abort(doomed)
    run_until_idle(subject)
    assert doomed.generated_tokens == 0
    assert subject.gauges.waiting == 0


def test_a_full_queue_refuses() -> None:
    subject = engine(max_num_seqs=2, max_queued_requests=1)
    for name in "abc":
        subject.submit(EngineRequest(name, 10, 50), 0.0)
    with pytest.raises(QueueFull):
        subject.submit(EngineRequest("d", 10, 5), 0.0)
    subject.advance(0.05)
    with pytest.raises(QueueFull):
        subject.submit(EngineRequest("d", 10, 5), 0.05)
    run_until_idle(subject)
    subject.submit(EngineRequest("e", 10, 5), 10.0)


def test_a_request_beyond_the_whole_cache_is_refused() -> None:
    with pytest.raises(RequestTooLarge):
        engine(num_blocks=3).submit(EngineRequest("r", 30, 3), 0.0)


def test_submitting_behind_an_unfinished_step_is_an_error() -> None:
    subject = engine()
    subject.submit(EngineRequest("a", 10, 5), 0.0)
    with pytest.raises(ValueError, match="not advanced"):
        subject.submit(EngineRequest("b", 10, 5), 60.0)


def test_loading_an_adapter_makes_one_step_longer() -> None:
    subject = engine(adapter_first_load_seconds=0.5)
    cold = first_token_seconds(subject, EngineRequest("a", 10, 1, adapter="x"), 0.0)
    warm = first_token_seconds(subject, EngineRequest("b", 10, 1, adapter="x"), 1.0)
    assert cold - warm == pytest.approx(0.5)


def test_adapters_with_live_requests_are_listed() -> None:
    subject = engine(max_adapters=1)
    for name, adapter in [("a", "x"), ("b", "y"), ("c", "")]:
        subject.submit(EngineRequest(name, 10, 3, adapter=adapter), 0.0)
    subject.advance(subject.next_event_at())
    assert subject.gauges.adapters == ("x", "y")
    subject.advance(subject.next_event_at())
    assert subject.gauges.deferred == 1


def test_equal_seeds_give_equal_runs_and_noise_has_mean_one() -> None:
    def ends(seed: int) -> list[float]:
        subject = engine(seed, jitter_sigma=0.05)
        subject.submit(EngineRequest("r", 100, 2000), 0.0)
        return [step.ended_at for step in run_until_idle(subject)]

    assert ends(1) == ends(1) != ends(2)
    quiet = engine()
    quiet.submit(EngineRequest("r", 100, 2000), 0.0)
    assert ends(3)[-1] == pytest.approx(run_until_idle(quiet)[-1].ended_at, rel=0.01)


def test_stalls_are_rare_and_bounded() -> None:
    subject = engine(stall_probability=0.5, stall_seconds=(0.02, 0.05))
    subject.submit(EngineRequest("r", 10, 200), 0.0)
    stalled = [gap for step in run_until_idle(subject) for gap in step.gaps_seconds if gap > 0.0271]
    assert 60 < len(stalled) < 140
    assert max(stalled) < 0.058


Arrival = st.tuples(
    st.floats(0, 0.3),  # seconds since the one before
    st.integers(1, 120),  # prompt tokens
    st.integers(1, 40),  # output tokens
    st.integers(0, 2),  # prefix group
    st.sampled_from(["", "", "x", "y", "z"]),
    st.booleans(),  # abort the oldest live request as well
)


@settings(max_examples=60, deadline=None)
@given(
    arrivals=st.lists(Arrival, max_size=25),
    num_blocks=st.integers(42, 80),
    budget=st.integers(1, 64),
    sequences=st.integers(1, 6),
)
def test_blocks_add_up_and_nothing_is_stuck(
    arrivals: list[tuple[float, int, int, int, str, bool]],
    num_blocks: int,
    budget: int,
    sequences: int,
) -> None:
    subject = engine(
        num_blocks=num_blocks,
        block_size_tokens=4,
        max_num_batched_tokens=budget,
        max_num_seqs=sequences,
        max_adapters=2,
    )
    requests: list[EngineRequest] = []
    emitted: dict[EngineRequest, int] = {}
    now = 0.0

    def settle(steps: list[Step]) -> None:
        for step in steps:
            assert 0 < step.computed_tokens <= budget
            for request in step.emitted:
                emitted[request] = emitted.get(request, 0) + 1
        held = {block for request in requests for block in request.blocks}
        assert len(held) + subject._scheduler.pool.free == num_blocks - 1
        assert subject.running <= sequences
        live = sum(1 for request in requests if not request.done)
        assert not live or subject.next_event_at() < math.inf

    for delay, prompt, output, group, adapter, abort in arrivals:
        now += delay
        settle(subject.advance(now))
        chain = [group * 100 + i for i in range(min(prompt, 60) // 4)]
        requests.append(EngineRequest("r", prompt, output, block_hashes=chain, adapter=adapter))
        subject.submit(requests[-1], now)
        if abort:
            subject.abort(next(r for r in requests if not r.done))
    for _ in range(20_000):
        if subject.next_event_at() == math.inf:
            break
        settle(subject.advance(subject.next_event_at()))
    assert subject.kv_cache_usage == 0.0
    assert subject.gauges.adapters == ()
    for request in requests:
        assert request.done
        assert request.aborted or emitted[request] == request.output_tokens
