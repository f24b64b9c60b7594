"""Which series of which engine mean what, as data. Names are as exposed, suffix included."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from epp.core.endpoint import EndpointMetrics
from epp.datalayer.scraping.text_format import unescape

ENGINE_LABEL = "llm-d.ai/engine-type"
OLD_ENGINE_LABEL = "inference.networking.k8s.io/engine-type"
DEFAULT_ENGINE = "vllm"

_SPEC = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(.*)\}\s*)?", re.DOTALL)
_MATCHER = re.compile(
    r"""\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",{}\s]+))\s*""", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class SeriesSpec:
    """Chooses all series of a family whose labels include these."""

    family: str
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class EngineMapping:
    """What to read from one kind of model server. None: the engine does not say."""

    name: str
    waiting: SeriesSpec | None = None
    running: SeriesSpec | None = None
    kv_cache_usage: SeriesSpec | None = None
    generated_tokens: SeriesSpec | None = None  # a counter
    first_tokens: SeriesSpec | None = None  # a counter of requests that had one
    adapters: SeriesSpec | None = None  # the value is the unix time of the last update
    cache_info: SeriesSpec | None = None  # a constant whose labels carry the facts
    cache_block_size_label: str = "block_size"
    cache_num_blocks_label: str = "num_gpu_blocks"
    cache_block_size: SeriesSpec | None = None  # a gauge instead of a label
    cache_num_blocks: SeriesSpec | None = None
    custom: tuple[tuple[str, SeriesSpec], ...] = ()  # further series, by key; the first one counts
    started_at: SeriesSpec | None = None  # Unix seconds, of the process
    families: tuple[str, ...] = field(init=False)  # all that is wanted, each once
    line_start: re.Pattern[bytes] = field(init=False, repr=False, compare=False)
    foreign_line: re.Pattern[bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        specs = (
            *(self.waiting, self.running, self.kv_cache_usage, self.generated_tokens),
            *(self.first_tokens, self.adapters),
            *(self.cache_info, self.cache_block_size, self.cache_num_blocks, self.started_at),
            *(spec for _, spec in self.custom),
        )
        families = tuple(dict.fromkeys(spec.family for spec in specs if spec is not None))
        if not families:
            raise ValueError(f"engine {self.name!r}: no series is named")
        names = b"|".join(re.escape(family.encode()) for family in families)
        # A newline in front makes the search skip from line to line: 20 µs for a full page.
        object.__setattr__(self, "families", families)
        object.__setattr__(self, "line_start", re.compile(rb"\n(" + names + rb")(?=[{ \t])"))
        object.__setattr__(
            self,
            "foreign_line",
            re.compile(rb"^(?!#|\r?$|(?:" + names + rb")[{ \t])", re.MULTILINE),
        )

    @property
    def dependable(self) -> frozenset[str]:
        """Families that a server always shows.

        Adapters appear with the first request for one, counters in some engines with the first
        token; several processes have no one start.
        """
        absent = {spec.family for _, spec in self.custom}
        late = (self.adapters, self.generated_tokens, self.first_tokens, self.started_at)
        absent |= {spec.family for spec in late if spec is not None}
        return frozenset(self.families) - absent

    def shows_all_load(self, read: EndpointMetrics, at: float) -> bool:
        """Whether all that it says of its load was read from the page of that time."""
        return (
            (self.waiting is None or read.waiting_read_at == at)
            and (self.running is None or read.running_read_at == at)
            and (self.kv_cache_usage is None or read.kv_cache_usage_read_at == at)
        )


def parse_series(text: str) -> SeriesSpec:
    """`name` or `name{label=value,...}`, values quoted or not. Raises ValueError."""
    match = _SPEC.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a series: name or name{{label=value,...}}")
    family, inside = match.groups()
    labels: dict[str, str] = {}
    position = 0
    inside = inside or ""
    while inside[position:].strip():
        part = _MATCHER.match(inside, position)
        if part is None or (part.end() < len(inside) and inside[part.end()] != ","):
            raise ValueError(f"{text!r}: label=value is expected at {inside[position:]!r}")
        label, quoted, plain = part.groups()
        if label in labels:
            raise ValueError(f"{text!r}: label {label!r} is given twice")
        labels[label] = plain if quoted is None else unescape(quoted)
        position = part.end() + 1
    return SeriesSpec(family, tuple(labels.items()))


def _vllm() -> EngineMapping:
    return EngineMapping(
        name="vllm",
        waiting=parse_series("vllm:num_requests_waiting"),
        running=parse_series("vllm:num_requests_running"),
        kv_cache_usage=parse_series("vllm:kv_cache_usage_perc"),
        generated_tokens=parse_series("vllm:generation_tokens_total"),
        first_tokens=parse_series("vllm:time_to_first_token_seconds_count"),
        adapters=parse_series("vllm:lora_requests_info"),
        cache_info=parse_series("vllm:cache_config_info"),
        started_at=parse_series("process_start_time_seconds"),
    )


def _sglang() -> EngineMapping:
    return EngineMapping(
        name="sglang",
        waiting=parse_series("sglang:num_queue_reqs"),
        running=parse_series("sglang:num_running_reqs"),
        kv_cache_usage=parse_series("sglang:token_usage"),
        generated_tokens=parse_series("sglang:generation_tokens_total"),
        cache_info=parse_series("sglang:cache_config_info"),
        cache_block_size_label="page_size",
        cache_num_blocks_label="num_pages",
    )


def _trtllm_serve() -> EngineMapping:
    return EngineMapping(
        name="trtllm-serve",
        waiting=parse_series("trtllm_num_requests_waiting"),
        running=parse_series("trtllm_num_requests_running"),
        kv_cache_usage=parse_series("trtllm_kv_cache_utilization"),
        cache_block_size=parse_series("trtllm_kv_cache_tokens_per_block"),
        cache_num_blocks=parse_series("trtllm_kv_cache_max_blocks"),
    )


def _triton_tensorrt_llm() -> EngineMapping:
    blocks = "nv_trt_llm_kv_cache_block_metrics"
    return EngineMapping(
        name="triton-tensorrt-llm",
        waiting=parse_series("nv_trt_llm_request_metrics{request_type=waiting}"),
        running=parse_series("nv_trt_llm_request_metrics{request_type=scheduled}"),
        kv_cache_usage=parse_series(blocks + "{kv_cache_block_type=fraction}"),
        cache_block_size=parse_series(blocks + "{kv_cache_block_type=tokens_per}"),
        cache_num_blocks=parse_series(blocks + "{kv_cache_block_type=max}"),
    )


def _triton() -> EngineMapping:
    # Triton's execution count, which the Go picker takes for running requests, only ever grows.
    return EngineMapping(name="triton", waiting=parse_series("nv_inference_pending_request_count"))


ENGINES: Mapping[str, EngineMapping] = MappingProxyType(
    {
        mapping.name: mapping
        for mapping in (_vllm(), _sglang(), _trtllm_serve(), _triton_tensorrt_llm(), _triton())
    }
)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    engines: Mapping[str, EngineMapping] = field(default_factory=lambda: ENGINES)
    default_engine: str = DEFAULT_ENGINE
    label: str = ENGINE_LABEL

    def __post_init__(self) -> None:
        if self.default_engine not in self.engines:
            raise ValueError(f"unknown default engine {self.default_engine!r}")

    def of(self, labels: Mapping[str, str]) -> EngineMapping:
        """The mapping that an endpoint's labels ask for; an unknown engine gets the default."""
        name = labels.get(self.label) or labels.get(OLD_ENGINE_LABEL) or ""
        return self.engines.get(name) or self.engines[self.default_engine]
