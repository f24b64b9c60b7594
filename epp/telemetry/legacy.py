"""The older metric names that GKE dashboards, HPAs and KEDA recipes read, made from the current.

They cost nothing in between: each twin is summed from its family when the page is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from prometheus_client.core import Metric

from epp.telemetry.metrics import MODELS, PREFIX

SAMPLES_PER_SLICE: Final = 200  # of a twin: less than a millisecond


class Families(StrEnum):
    """Which names the page has."""

    BOTH = "both"
    CURRENT = "current"
    LEGACY = "legacy"


@dataclass(frozen=True, slots=True)
class Twin:
    name: str
    labels: tuple[str, ...] = ()  # that it keeps; the others are summed over
    renamed: Mapping[str, str] | None = None  # label of the family to label of the twin


_POOL = ("name",)
_ATTEMPTS = ("status", "target_model_name", "endpoint_name", "namespace", "port")
_WAITING = ("fairness_id", "priority", "inference_pool", *MODELS)
_WAITED = (*_WAITING, "outcome")
_DISAGGREGATION = ("model_name", "decision_type")

# By the family's name without prefix, counters without `_total`.
TWINS: Mapping[str, Twin] = {
    "request": Twin("inference_objective_request", (*MODELS, "priority")),
    "request_error": Twin("inference_objective_request_error", (*MODELS, "error_code")),
    "request_duration_seconds": Twin("inference_objective_request_duration_seconds", MODELS),
    "request_size_bytes": Twin("inference_objective_request_sizes", MODELS),
    "response_size_bytes": Twin("inference_objective_response_sizes", MODELS),
    "request_input_tokens": Twin("inference_objective_input_tokens", MODELS),
    "request_output_tokens": Twin("inference_objective_output_tokens", MODELS),
    "request_cached_tokens": Twin("inference_objective_prompt_cached_tokens", MODELS),
    "request_running": Twin("inference_objective_running_requests", ("model_name",)),
    "request_ntpot_seconds": Twin(
        "inference_objective_normalized_time_per_output_token_seconds", MODELS
    ),
    "average_kv_cache_utilization": Twin("inference_pool_average_kv_cache_utilization", _POOL),
    "average_queue_size": Twin("inference_pool_average_queue_size", _POOL),
    "average_running_requests": Twin("inference_pool_average_running_requests", _POOL),
    "ready_endpoints": Twin("inference_pool_ready_pods", _POOL),
    "per_endpoint_queue_size": Twin(
        "inference_pool_per_pod_queue_size",
        ("name", "model_server_endpoint"),
        {"model_server_endpoint": "model_server_pod"},
    ),
    "scheduler_e2e_duration_seconds": Twin("inference_extension_scheduler_e2e_duration_seconds"),
    "scheduler_attempts": Twin(
        "inference_extension_scheduler_attempts", _ATTEMPTS, {"endpoint_name": "pod_name"}
    ),
    "plugin_duration_seconds": Twin(
        "inference_extension_plugin_duration_seconds",
        ("extension_point", "plugin_type", "plugin_name"),
    ),
    "info": Twin("inference_extension_info", ("commit", "build_ref")),
    "model_rewrite_decisions": Twin(
        "inference_extension_model_rewrite_decisions",
        ("model_rewrite_name", "model_name", "target_model"),
    ),
    "flow_control_request_queue_duration_seconds": Twin(
        "inference_extension_flow_control_request_queue_duration_seconds", _WAITED
    ),
    "flow_control_dispatch_cycle_duration_seconds": Twin(
        "inference_extension_flow_control_dispatch_cycle_duration_seconds"
    ),
    "flow_control_queue_size": Twin("inference_extension_flow_control_queue_size", _WAITING),
    "flow_control_queue_bytes": Twin("inference_extension_flow_control_queue_bytes", _WAITING),
    "flow_control_pool_saturation": Twin(
        "inference_extension_flow_control_pool_saturation", ("inference_pool", "stage")
    ),
    "prefix_indexer_size": Twin("inference_extension_prefix_indexer_size"),
    "datalayer_poll_errors": Twin(
        "llm_d_inference_scheduler_datalayer_poll_errors", ("source_type",)
    ),
    "datalayer_extract_errors": Twin(
        "llm_d_inference_scheduler_datalayer_extract_errors", ("source_type", "extractor_type")
    ),
    "disagg_decision": Twin("llm_d_inference_scheduler_disagg_decision", _DISAGGREGATION),
    "pd_decision": Twin("llm_d_inference_scheduler_pd_decision", _DISAGGREGATION),
    "prefix_indexer_hit_ratio": Twin("inference_extension_prefix_indexer_hit_ratio"),
    "prefix_indexer_hit_bytes": Twin("inference_extension_prefix_indexer_hit_bytes"),
}


def with_twins(families: Iterable[Metric], wanted: Families) -> Iterator[Metric]:
    """The families by their current names, their older ones, or both.

    A family may come in slices; its twin follows the last one.
    """
    sums: _Sums | None = None
    for family in families:
        if sums is not None and sums.family != family.name:
            yield from sums.slices()
            sums = None
        twin = TWINS.get(family.name.removeprefix(PREFIX))
        if wanted is not Families.LEGACY or twin is None:
            yield family
        if wanted is not Families.CURRENT and twin is not None:
            sums = sums or _Sums(family.name, family.type, twin)
            sums.add(family)
            if wanted is Families.LEGACY:
                yield sums.empty()  # in the slice's place, so that it is a step as well
    if sums is not None:
        yield from sums.slices()


_Key = tuple[str, tuple[tuple[str, str], ...]]  # name of a sample, and its labels


class _Sums:
    """A twin in the making: sums over the labels that it lacks."""

    def __init__(self, family: str, kind: str, twin: Twin) -> None:
        self.family = family
        self._kind = kind
        self._twin = twin
        self._kept = {*twin.labels, "le"}
        self._values: dict[_Key, float] = {}

    def add(self, piece: Metric) -> None:
        renamed = self._twin.renamed or {}
        for sample in piece.samples:
            labels = tuple(
                (renamed.get(k, k), v) for k, v in sample.labels.items() if k in self._kept
            )
            key = (self._twin.name + sample.name.removeprefix(self.family), labels)
            self._values[key] = self._values.get(key, 0.0) + sample.value

    def slices(self) -> Iterator[Metric]:
        made = self.empty()
        for (name, labels), value in self._values.items():
            if len(made.samples) == SAMPLES_PER_SLICE:
                yield made
                made = self.empty()
            made.add_sample(name, dict(labels), value)
        yield made

    def empty(self) -> Metric:
        return Metric(self._twin.name, f"Deprecated: use {self.family}.", self._kind)
