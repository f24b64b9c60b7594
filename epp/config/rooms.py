"""Plugin types of the document that are settings of a room, or that have no effect here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from epp.config.document import Strict, check_duration
from epp.datalayer.scraping.engines import (
    DEFAULT_ENGINE,
    ENGINE_LABEL,
    ENGINES,
    EngineMapping,
    EngineSettings,
    SeriesSpec,
    parse_series,
)
from epp.flowcontrol.settings import Fairness, Ordering
from epp.prefixcache.settings import PrefixCacheSettings
from epp.scheduling.attributes import ATTRIBUTES
from epp.scheduling.sessions import SessionSource

METRICS_SOURCE: Final = "metrics-data-source"
MODELS_SOURCE: Final = "models-data-source"
NOTIFICATION_SOURCE: Final = "endpoint-notification-source"
CORE_EXTRACTOR: Final = "core-metrics-extractor"
MODELS_EXTRACTOR: Final = "models-data-extractor"
PREFIX_PRODUCER: Final = "approx-prefix-cache-producer"
LOAD_PRODUCER: Final = "inflight-load-producer"
USAGE_LIMIT: Final = "static-usage-limit-policy"
PASSTHROUGH_PARSER: Final = "passthrough-parser"
PARSERS: Final = frozenset(
    {"openai-parser", "anthropic-parser", "vllmhttp-parser", PASSTHROUGH_PARSER}
)

AGENT_HEADERS: Final = (
    "x-claude-code-session-id",
    "x-session-affinity",
    "session-id",
    "session_id",
)


@dataclass(frozen=True, slots=True)
class NoParameters(Strict):
    """A plugin that is named and has nothing to set."""


@dataclass(frozen=True, slots=True)
class FileDiscoveryParameters(Strict):
    path: str
    watch_file: bool = False

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("path: is empty")


@dataclass(frozen=True, slots=True)
class InflightLoadProducer(Strict):
    """Accepted: the ledger counts every request and its prompt, whatever is set here."""

    add_estimated_output_tokens: bool = False
    output_ratio: float = 1.5
    max_estimated_output_tokens: int | None = None
    prefix_match_info_producer_name: str = ""
    sync_cross_replica_state: bool = True

    def __post_init__(self) -> None:
        if self.add_estimated_output_tokens:
            raise ValueError(
                "addEstimatedOutputTokens: tokens in flight are those of prompts in this version"
            )


@dataclass(frozen=True, slots=True)
class RenderBackend(Strict):
    url: str = "http://localhost:8000"
    timeout: str = "5s"
    mm_timeout: str = "30s"

    def __post_init__(self) -> None:
        check_duration("timeout", self.timeout)
        check_duration("mmTimeout", self.mm_timeout)


@dataclass(frozen=True, slots=True)
class TokenEstimate(Strict):
    image: dict[str, Any] = field(default_factory=dict)
    video: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TokenProducer(Strict):
    """Accepted: token counts are estimated from bytes, and learned from reported usage."""

    model_name: str = ""
    vllm: RenderBackend | None = None
    uds_tokenizer_config: dict[str, Any] | None = None
    estimate: TokenEstimate | None = None

    def __post_init__(self) -> None:
        backends = {
            "vllm": self.vllm,
            "udsTokenizerConfig": self.uds_tokenizer_config,
            "estimate": self.estimate,
        }
        given = [name for name, backend in backends.items() if backend is not None]
        if len(given) > 1:
            raise ValueError(f"only one of {', '.join(backends)} may be given")
        if given and given != ["estimate"] and not self.model_name:
            raise ValueError(f"modelName: is needed for {given[0]}")


@dataclass(frozen=True, slots=True)
class StageHeaders(Strict):
    """Accepted: the profile handler says itself which headers a request carries."""

    prefill_profile: str = "prefill"
    encode_profile: str = "encode"


@dataclass(frozen=True, slots=True)
class SessionIdProducer(Strict):
    """Where a request names its session, for the plugins that ask for the attribute."""

    header_name: str = ""
    cookie_name: str = ""

    def __post_init__(self) -> None:
        if bool(self.header_name) is bool(self.cookie_name):
            raise ValueError("exactly one of headerName and cookieName is needed")

    @property
    def source(self) -> SessionSource:
        return SessionSource(header=self.header_name, cookie=self.cookie_name)


@dataclass(frozen=True, slots=True)
class AgentIdentity(Strict):
    """A request without a fairness id is of the flow that one of these headers names."""

    additional_session_headers: tuple[str, ...] = ()  # looked at first

    def __post_init__(self) -> None:
        if "" in self.additional_session_headers:
            raise ValueError("additionalSessionHeaders: one is empty")

    @property
    def headers(self) -> tuple[str, ...]:
        """In lower case; the first that a request has counts."""
        return (*(h.lower() for h in self.additional_session_headers), *AGENT_HEADERS)


@dataclass(frozen=True, slots=True)
class ModelsSource(Strict):
    """Accepted: the models of every server are read anyway, to answer for the whole pool."""

    scheme: Literal["http"] = "http"
    path: Literal["/v1/models"] = "/v1/models"
    interval: str = ""
    insecure_skip_verify: bool = True  # accepted, like the rest: they matter for https only
    ca_cert_path: str = ""
    client_cert_path: str = ""
    client_key_path: str = ""

    def __post_init__(self) -> None:
        check_duration("interval", self.interval or None)


@dataclass(frozen=True, slots=True)
class StaticUsageLimit(Strict):
    threshold: float = 1.0

    def __post_init__(self) -> None:
        if self.threshold != 1.0:
            raise ValueError(f"threshold: only 1.0 is supported, not {self.threshold}")


@dataclass(frozen=True, slots=True)
class MetricsSource(Strict):
    """Where the metrics page of an endpoint is. TLS to model servers is not in this version."""

    scheme: Literal["http"] = "http"
    path: str = "/metrics"
    port: int | None = None  # None: the endpoint's own
    # Accepted: how often is decided by need, see --refresh-metrics-interval.
    interval: str = field(default="", compare=False)
    # Accepted, like the rest: they matter for https only.
    insecure_skip_verify: bool = field(default=True, compare=False)
    ca_cert_path: str = field(default="", compare=False)
    client_cert_path: str = field(default="", compare=False)
    client_key_path: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise ValueError(f"path: {self.path!r} does not begin with /")
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ValueError(f"port: {self.port} is not in 1..65535")
        check_duration("interval", self.interval or None)


@dataclass(frozen=True, slots=True)
class CustomMetric(Strict):
    """A series that filters and scorers can name by its key."""

    attribute_key: str
    metric_spec: str

    def __post_init__(self) -> None:
        if not self.attribute_key:
            raise ValueError("attributeKey: is empty")
        if self.attribute_key in ATTRIBUTES:
            raise ValueError(f"attributeKey: {self.attribute_key!r} is there already")
        if _series("metricSpec", self.metric_spec) is None:
            raise ValueError("metricSpec: is empty")


@dataclass(frozen=True, slots=True)
class EngineConfig(Strict):
    """Names of the series of one kind of engine, as `name` or `name{label=value}`."""

    name: str
    queued_requests_spec: str = ""
    running_requests_spec: str = ""
    kv_usage_spec: str = ""
    lora_spec: str = ""
    cache_info_spec: str = ""
    cache_block_size_label_name: str = "block_size"
    cache_num_blocks_label_name: str = "num_gpu_blocks"
    cache_block_size_spec: str = ""
    cache_num_blocks_spec: str = ""
    custom_metrics: tuple[CustomMetric, ...] = ()

    def __post_init__(self) -> None:
        if self.name in ("", "default"):
            raise ValueError(f"name: {self.name!r} is reserved")
        keys = [metric.attribute_key for metric in self.custom_metrics]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"customMetrics: {key!r} stands twice")
        self.mapping()  # raises for a wrong spec

    def mapping(self) -> EngineMapping:
        known = ENGINES.get(self.name)  # the document has no word for tokens
        return EngineMapping(
            name=self.name,
            waiting=_series("queuedRequestsSpec", self.queued_requests_spec),
            running=_series("runningRequestsSpec", self.running_requests_spec),
            kv_cache_usage=_series("kvUsageSpec", self.kv_usage_spec),
            generated_tokens=known.generated_tokens if known else None,
            first_tokens=known.first_tokens if known else None,
            adapters=_series("loraSpec", self.lora_spec),
            cache_info=_series("cacheInfoSpec", self.cache_info_spec),
            cache_block_size_label=self.cache_block_size_label_name,
            cache_num_blocks_label=self.cache_num_blocks_label_name,
            cache_block_size=_series("cacheBlockSizeSpec", self.cache_block_size_spec),
            cache_num_blocks=_series("cacheNumBlocksSpec", self.cache_num_blocks_spec),
            custom=tuple(
                (metric.attribute_key, parse_series(metric.metric_spec))
                for metric in self.custom_metrics
            ),
        )


@dataclass(frozen=True, slots=True)
class CoreMetrics(Strict):
    engine_label_key: str = ENGINE_LABEL
    default_engine: str = DEFAULT_ENGINE
    engine_configs: tuple[EngineConfig, ...] = ()

    def __post_init__(self) -> None:
        self.engines()  # raises for a default that is not there

    def engines(self) -> EngineSettings:
        """A given engine replaces the built-in one of its name."""
        given = {config.name: config.mapping() for config in self.engine_configs}
        return EngineSettings({**ENGINES, **given}, self.default_engine, self.engine_label_key)


def _series(name: str, spec: str) -> SeriesSpec | None:
    try:
        return parse_series(spec) if spec else None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


ROOMS: Mapping[str, type[object]] = {
    "agent-identity": AgentIdentity,
    METRICS_SOURCE: MetricsSource,
    CORE_EXTRACTOR: CoreMetrics,
    "file-discovery": FileDiscoveryParameters,
    PREFIX_PRODUCER: PrefixCacheSettings,
    LOAD_PRODUCER: InflightLoadProducer,
    MODELS_SOURCE: ModelsSource,
    "session-id-producer": SessionIdProducer,
    "token-producer": TokenProducer,
    USAGE_LIMIT: StaticUsageLimit,
    "disagg-headers-handler": StageHeaders,
    "prefill-header-handler": StageHeaders,
}

# Always in force here, so that naming them changes nothing.
ACCEPTED = frozenset(
    {
        *(ordering.value for ordering in Ordering),
        *(fairness.value for fairness in Fairness),
        *PARSERS,
        MODELS_EXTRACTOR,
        NOTIFICATION_SOURCE,
    }
)

# Types of the Go picker that this version does not have.
KNOWN_ELSEWHERE = frozenset(
    {
        *("sglanghttp-parser", "vllmgrpc-parser"),
        *("vertexai-parser", "k8s-notification-source", "dcgm-data-source"),
        *("dcgm-extractor", "topology-extractor", "multicluster-file-discovery"),
        *("multicluster-metrics-data-source", "multicluster-metrics-extractor"),
        *("predicted-latency-producer", "tokenizer", "mm-embeddings-cache-producer"),
        *("precise-prefix-cache-producer", "burst-prefix-cache-producer"),
        *("p2p-source-producer", "multicluster-approx-prefix-cache-producer"),
        *("disaggregatedset-rollout-screener", "latency-slo-admitter"),
        *("slo-headroom-tier-filter", "multicluster-session-affinity-filter"),
        *("topology-affinity-filter", "latency-scorer", "mm-embeddings-cache-scorer"),
        "precise-prefix-cache-scorer",
        *("topology-affinity-scorer", "multicluster-queue-scorer"),
        *("multicluster-kv-cache-utilization-scorer", "multicluster-prefix-cache-scorer"),
        *("program-aware-fairness", "priority-holdback-policy"),
        *("soft-reflective-ceiling-policy", "sheddable-eviction-filter"),
        *("priority-then-time-eviction-order-policy", "request-attribute-reporter"),
        "destination-endpoint-served-verifier",
    }
)
