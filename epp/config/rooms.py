"""Plugin types of the document that are settings of a room, or that have no effect here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from epp.config.document import Strict
from epp.prefixcache.settings import PrefixCacheSettings


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
    """Accepted: the ledger counts every request, whatever is set here."""

    add_estimated_output_tokens: bool = False
    output_ratio: float = 1.5
    max_estimated_output_tokens: int | None = None
    prefix_match_info_producer_name: str = ""
    sync_cross_replica_state: bool = True


@dataclass(frozen=True, slots=True)
class StaticUsageLimit(Strict):
    threshold: float = 1.0

    def __post_init__(self) -> None:
        if self.threshold != 1.0:
            raise ValueError(f"threshold: only 1.0 is supported, not {self.threshold}")


ROOMS: Mapping[str, type[object]] = {
    "file-discovery": FileDiscoveryParameters,
    "approx-prefix-cache-producer": PrefixCacheSettings,
    "inflight-load-producer": InflightLoadProducer,
    "static-usage-limit-policy": StaticUsageLimit,
}

# Always in force here, so that naming them changes nothing.
ACCEPTED = frozenset(
    {
        "single-profile-handler",
        "fcfs-ordering-policy",
        "global-strict-fairness-policy",
        "openai-parser",
        "passthrough-parser",
        "token-producer",
        "metrics-data-source",
        "core-metrics-extractor",
    }
)

# Types of the Go picker that this version does not have.
KNOWN_ELSEWHERE = frozenset(
    {
        *("anthropic-parser", "vllmhttp-parser", "sglanghttp-parser", "vllmgrpc-parser"),
        *("vertexai-parser", "models-data-source", "models-data-extractor"),
        *("k8s-notification-source", "endpoint-notification-source", "dcgm-data-source"),
        *("dcgm-extractor", "topology-extractor", "multicluster-file-discovery"),
        *("multicluster-metrics-data-source", "multicluster-metrics-extractor"),
        *("predicted-latency-producer", "tokenizer", "mm-embeddings-cache-producer"),
        *("session-id-producer", "precise-prefix-cache-producer", "burst-prefix-cache-producer"),
        *("p2p-source-producer", "multicluster-approx-prefix-cache-producer", "agent-identity"),
        *("disaggregatedset-rollout-screener", "latency-slo-admitter", "probabilistic-admitter"),
        *("data-parallel-profile-handler", "disagg-profile-handler", "pd-profile-handler"),
        *("header-profile-handler", "disagg-headers-handler", "prefill-header-handler"),
        *("always-disagg-pd-decider", "prefix-based-pd-decider"),
        *("always-disagg-multimodal-decider", "decode-filter", "prefill-filter", "encode-filter"),
        *("prefix-cache-affinity-filter", "slo-headroom-tier-filter", "by-label-selector"),
        *("by-label", "session-affinity-filter", "multicluster-session-affinity-filter"),
        *("endpoint-attribute-filter", "topology-affinity-filter", "utilization-filter"),
        *("load-aware-scorer", "token-load-scorer", "no-hit-lru-scorer", "context-length-aware"),
        *("latency-scorer", "mm-embeddings-cache-scorer", "precise-prefix-cache-scorer"),
        *("session-affinity-scorer", "header-label-affinity-scorer", "endpoint-attribute-scorer"),
        *("topology-affinity-scorer", "multicluster-queue-scorer"),
        *("multicluster-kv-cache-utilization-scorer", "multicluster-prefix-cache-scorer"),
        *("round-robin-fairness-policy", "program-aware-fairness", "edf-ordering-policy"),
        *("slo-deadline-ordering-policy", "priority-holdback-policy"),
        *("soft-reflective-ceiling-policy", "sheddable-eviction-filter"),
        *("priority-then-time-eviction-order-policy", "request-attribute-reporter"),
        "destination-endpoint-served-verifier",
    }
)
