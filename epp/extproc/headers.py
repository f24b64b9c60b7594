"""Names of the headers and metadata that the gateway, the client and the picker exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from epp.core.stages import DATA_PARALLEL_HEADER, ENCODERS_HEADER, PREFILLER_HEADER

DESTINATION: Final = "x-gateway-destination-endpoint"
SUBSET: Final = f"{DESTINATION}-subset"
SERVED: Final = f"{DESTINATION}-served"
SCORES: Final = f"{DESTINATION}-scores"
DROPPED_REASON: Final = "x-llm-d-request-dropped-reason"

LB_NAMESPACE: Final = "envoy.lb"
SUBSET_NAMESPACE: Final = "envoy.lb.subset_hint"
OWN_NAMESPACE: Final = "epp"  # facts of a decision; comes back in the gateway's access log
CONTROL_NAMESPACE: Final = "epp.control"  # control values that the gateway itself vouches for

# Control value -> its current header and the deprecated spellings, in order of precedence.
CONTROL: Final[Mapping[str, tuple[str, ...]]] = {
    "inference-objective": ("x-llm-d-inference-objective", "x-gateway-inference-objective"),
    "inference-fairness-id": (
        "x-llm-d-inference-fairness-id",
        "x-gateway-inference-fairness-id",
    ),
    "model-name-rewrite": ("x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite"),
    "slo-ttft-ms": ("x-llm-d-slo-ttft-ms", "x-slo-ttft-ms"),
    "slo-tpot-ms": ("x-llm-d-slo-tpot-ms", "x-slo-tpot-ms"),
}

# A model server would connect to where the client says in one of these.
SERVER_ROUTING: Final = (
    PREFILLER_HEADER,
    ENCODERS_HEADER,
    DATA_PARALLEL_HEADER,
    "x-kv-cache-source-host-port",
)

# None of these may reach a model server in a client's spelling, whether it sent them or not: a
# gateway can keep headers from us and still forward them.
STRIPPED: Final[tuple[str, ...]] = (
    SUBSET,
    SERVED,
    SCORES,
    *SERVER_ROUTING,
    *(spelling for spellings in CONTROL.values() for spelling in spellings),
    "x-llm-d-video-fps",
    "x-llm-d-video-duration-seconds",
    "x-llm-d-video-resolution",
    DROPPED_REASON,
)


def read_control(headers: Mapping[str, str], name: str) -> str | None:
    """The value under its current name, else a deprecated one. An empty one hides the rest."""
    for spelling in CONTROL[name]:
        if spelling in headers:
            return headers[spelling]
    return None
