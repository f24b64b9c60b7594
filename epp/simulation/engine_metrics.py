"""What one engine counts over its life, fed with its steps."""

from __future__ import annotations

from epp.simulation.engine import Step
from epp.simulation.exposition import Histogram
from epp.simulation.requests import EngineRequest

FIRST_TOKEN_BOUNDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
TOKEN_BOUNDS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)
REQUEST_BOUNDS = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
    *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)
STEP_BOUNDS = (1.0, *(float(2**power) for power in range(3, 15)))
PREEMPTION_BOUNDS = (1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0)
CHOICE_BOUNDS = (1.0, 2.0, 5.0, 10.0, 20.0)
FINISH_REASONS = ("stop", "length", "abort", "error", "repetition")


def token_count_bounds(largest: int) -> tuple[float, ...]:
    """1, 2, 5, 10, 20, 50 and so on, up to `largest`."""
    bounds: list[float] = []
    decade = 1
    while decade <= largest:
        bounds += [float(decade * step) for step in (1, 2, 5) if decade * step <= largest]
        decade *= 10
    return tuple(bounds)


class EngineMetrics:
    """Counters and histograms of one engine, named as vLLM names them without its prefix.

    `speed` is how much faster than real time the engine runs: seconds here are real ones.
    """

    def __init__(self, max_model_len_tokens: int, speed: float) -> None:
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.generation_tokens = 0
        self.preemptions = 0
        self.steps = 0
        self.finished = dict.fromkeys(FINISH_REASONS, 0)
        sizes = token_count_bounds(max_model_len_tokens)
        self.histograms = {
            "request_prompt_tokens": Histogram(sizes),
            "request_generation_tokens": Histogram(sizes),
            "iteration_tokens_total": Histogram(STEP_BOUNDS),
            "request_max_num_generation_tokens": Histogram(sizes),
            "request_params_n": Histogram(CHOICE_BOUNDS),
            "request_params_max_tokens": Histogram(sizes),
            "time_to_first_token_seconds": Histogram(FIRST_TOKEN_BOUNDS),
            "inter_token_latency_seconds": Histogram(TOKEN_BOUNDS),
            "request_time_per_output_token_seconds": Histogram(TOKEN_BOUNDS),
            "e2e_request_latency_seconds": Histogram(REQUEST_BOUNDS),
            "request_queue_time_seconds": Histogram(REQUEST_BOUNDS),
            "request_inference_time_seconds": Histogram(REQUEST_BOUNDS),
            "request_prefill_time_seconds": Histogram(REQUEST_BOUNDS),
            "request_decode_time_seconds": Histogram(REQUEST_BOUNDS),
            "request_num_preemptions": Histogram(PREEMPTION_BOUNDS),
            "request_prefill_kv_computed_tokens": Histogram(sizes),
        }
        self._speed = speed

    def record(self, step: Step) -> None:
        """Count one step. Aborted requests leave no trace, as in vLLM."""
        self.steps += 1
        self.generation_tokens += len(step.emitted)
        self.preemptions += len(step.preempted)
        prompts = 0
        for request in step.first_tokens:
            prompts += request.prompt_tokens
            self.cached_tokens += request.cached_tokens
            waited = request.first_token_at - request.arrived_at
            self._seconds("time_to_first_token_seconds", waited)
        self.prompt_tokens += prompts
        if step.emitted:
            self._observe("iteration_tokens_total", prompts + len(step.emitted))
        observe, speed = self.histograms["inter_token_latency_seconds"].observe, self._speed
        for gap in step.gaps_seconds:
            observe(gap / speed)
        for request in step.finished:
            self._finish(request)

    def _finish(self, request: EngineRequest) -> None:
        self.finished[request.finish_reason] += 1
        self._observe("request_prompt_tokens", request.prompt_tokens)
        self._observe("request_generation_tokens", request.generated_tokens)
        self._observe("request_max_num_generation_tokens", request.generated_tokens)
        self._observe("request_params_n", 1)
        self._observe("request_params_max_tokens", request.max_output_tokens)
        self._observe("request_num_preemptions", request.preemptions)
        computed = request.prompt_tokens - request.cached_tokens
        self._observe("request_prefill_kv_computed_tokens", computed)
        end = request.last_token_at
        decode = end - request.first_token_at
        self._seconds("e2e_request_latency_seconds", end - request.arrived_at)
        self._seconds("request_queue_time_seconds", request.scheduled_at - request.arrived_at)
        self._seconds("request_inference_time_seconds", end - request.scheduled_at)
        prefill = request.first_token_at - request.scheduled_at
        self._seconds("request_prefill_time_seconds", prefill)
        self._seconds("request_decode_time_seconds", decode)
        if request.generated_tokens > 1:
            per_token = decode / (request.generated_tokens - 1)
            self._seconds("request_time_per_output_token_seconds", per_token)

    def _observe(self, name: str, value: float) -> None:
        self.histograms[name].observe(value)

    def _seconds(self, name: str, engine_seconds: float) -> None:
        self.histograms[name].observe(engine_seconds / self._speed)
