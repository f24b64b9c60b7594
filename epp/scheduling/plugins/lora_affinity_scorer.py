"""Prefer endpoints that have the request's LoRA adapter in use, then those with room for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint, EndpointMetrics
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Scorer


@dataclass(frozen=True, slots=True)
class LoraAffinityScorer(Scorer):
    """1.0 in use; 0.8 room for one more; 0.6 waiting for a place; else 0."""

    type_name: ClassVar[str] = "lora-affinity-scorer"

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        model = request.target_model
        return [_affinity(model, endpoint.metrics) for endpoint in endpoints]


def _affinity(model: str, metrics: EndpointMetrics) -> float:
    if model in metrics.running_adapters:
        return 1.0
    if len(metrics.running_adapters | metrics.waiting_adapters) < metrics.max_adapters:
        return 0.8
    return 0.6 if model in metrics.waiting_adapters else 0.0
