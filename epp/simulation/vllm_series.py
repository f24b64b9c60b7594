"""Names, labels and meanings of vLLM 0.32's series, as tables for the metrics page."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from epp.simulation.engine import Gauges
from epp.simulation.engine_metrics import EngineMetrics

Values = Mapping[str, float]  # by value of the extra label; "" if there is none

# Name, meaning, extra label, values.
GAUGES: tuple[tuple[str, str, str, Callable[[Gauges], Values]], ...] = (
    ("vllm:num_requests_running", "Requests in the batch.", "", lambda g: {"": g.running}),
    ("vllm:num_requests_waiting", "Requests waiting for a place.", "", lambda g: {"": g.waiting}),
    (
        "vllm:num_requests_waiting_by_reason",
        "Waiting requests: for capacity, or deferred by a passing constraint.",
        "reason",
        lambda g: {"capacity": g.waiting - g.deferred, "deferred": g.deferred},
    ),
    (
        "vllm:engine_sleep_state",
        "1 for the state that the engine is in.",
        "sleep_state",
        lambda _: {"awake": 1, "weights_offloaded": 0, "discard_all": 0},
    ),
    (
        "vllm:kv_cache_usage_perc",
        "Share of KV blocks in use, 0 to 1.",
        "",
        lambda g: {"": g.kv_cache_usage},
    ),
)

# Name without `_total`, meaning, extra label, values.
COUNTERS: tuple[tuple[str, str, str, Callable[[EngineMetrics], Values]], ...] = (
    (
        "vllm:prefix_cache_queries",
        "Prompt tokens looked up in the prefix cache.",
        "",
        lambda m: {"": m.prompt_tokens},
    ),
    (
        "vllm:prefix_cache_hits",
        "Prompt tokens found in the prefix cache.",
        "",
        lambda m: {"": m.cached_tokens},
    ),
    (
        "vllm:external_prefix_cache_queries",
        "Tokens looked up in caches of other servers.",
        "",
        lambda _: {"": 0},
    ),
    (
        "vllm:external_prefix_cache_hits",
        "Tokens found in caches of other servers.",
        "",
        lambda _: {"": 0},
    ),
    ("vllm:mm_cache_queries", "Items looked up in the media cache.", "", lambda _: {"": 0}),
    ("vllm:mm_cache_hits", "Items found in the media cache.", "", lambda _: {"": 0}),
    ("vllm:num_preemptions", "Preemptions so far.", "", lambda m: {"": m.preemptions}),
    ("vllm:prompt_tokens", "Prompt tokens processed.", "", lambda m: {"": m.prompt_tokens}),
    (
        "vllm:prompt_tokens_by_source",
        "Prompt tokens by where their KV entries came from.",
        "source",
        lambda m: {
            "local_compute": m.prompt_tokens - m.cached_tokens,
            "local_cache_hit": m.cached_tokens,
            "external_kv_transfer": 0,
        },
    ),
    (
        "vllm:prompt_tokens_cached",
        "Prompt tokens that were not computed.",
        "",
        lambda m: {"": m.cached_tokens},
    ),
    (
        "vllm:prompt_tokens_cached_by_source",
        "Prompt tokens that were not computed, by cache tier.",
        "source",
        lambda m: {
            "device": m.cached_tokens,
            "host": 0,
            "p2p": 0,
            "disk": 0,
            "external_unspecified": 0,
        },
    ),
    (
        "vllm:generation_tokens",
        "Tokens generated.",
        "",
        lambda m: {"": m.generation_tokens},
    ),
    (
        "vllm:request_success",
        "Finished requests by reason.",
        "finished_reason",
        lambda m: m.finished,
    ),
)

HISTOGRAM_HELP = {
    "request_prompt_tokens": "Prompt tokens of finished requests.",
    "request_generation_tokens": "Generated tokens of finished requests.",
    "iteration_tokens_total": "Tokens per engine step.",
    "request_max_num_generation_tokens": "Most tokens generated for one choice.",
    "request_params_n": "Choices asked for.",
    "request_params_max_tokens": "Token limits asked for.",
    "time_to_first_token_seconds": "Arrival to first token.",
    "inter_token_latency_seconds": "One token to the next.",
    "request_time_per_output_token_seconds": "Mean time per token after the first.",
    "e2e_request_latency_seconds": "Arrival to last token.",
    "request_queue_time_seconds": "Arrival to first scheduling.",
    "request_inference_time_seconds": "First scheduling to last token.",
    "request_prefill_time_seconds": "First scheduling to first token.",
    "request_decode_time_seconds": "First token to last token.",
    "request_num_preemptions": "Preemptions per request.",
    "request_prefill_kv_computed_tokens": "Prompt tokens computed per request.",
}

CACHE_CONFIG = {  # what a server without special options says besides its sizes
    "_block_size_resolved": "True",
    "cache_dtype": "auto",
    "cache_hit_alignment_tokens": "None",
    "enable_mamba_shared_prefix_checkpoint": "False",
    "enable_prefix_caching": "True",
    "gpu_memory_utilization": "0.92",
    "hash_block_size": "None",
    "is_attention_free": "False",
    "kv_cache_dtype_skip_layers": "[]",
    "kv_cache_layout": "None",
    "kv_cache_memory_bytes": "None",
    "kv_offloading_backend": "native",
    "kv_offloading_size": "None",
    "kv_sharing_fast_prefill": "False",
    "mamba_block_size": "None",
    "mamba_cache_dtype": "auto",
    "mamba_cache_mode": "none",
    "mamba_page_size_padded": "None",
    "mamba_ssm_cache_dtype": "float32",
    "num_cpu_blocks": "None",
    "num_gpu_blocks_override": "None",
    "prefix_cache_retention_interval": "0",
    "prefix_caching_hash_algo": "sha256",
    "prefix_match_unit": "None",
    "replayssm_buffer_len": "16",
    "skip_page_size_padded": "None",
    "sliding_window": "None",
    "swa_bounded_replay": "True",
    "use_kda_recoverssm": "False",
    "use_replayssm": "False",
    "user_specified_block_size": "True",
}
