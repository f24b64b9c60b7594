"""Numbers of an endpoint that the document can name: those of every engine, and custom series."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from epp.core.endpoint import NEVER, Endpoint, EndpointMetrics

# What the model server last said, by the names that the Go picker gives them.
ATTRIBUTES: Final[Mapping[str, Callable[[EndpointMetrics], float | None]]] = {
    "KVCacheUsagePercent": lambda m: (  # 0 to 1, whatever the name says
        None if m.kv_cache_usage_read_at == NEVER else m.kv_cache_usage
    ),
    "WaitingQueueSize": lambda m: None if m.waiting_read_at == NEVER else m.waiting,
    "RunningRequestsSize": lambda m: None if m.running_read_at == NEVER else m.running,
}


def attribute(endpoint: Endpoint, name: str) -> float | None:
    """None while it has never been read, or if nothing has this name."""
    read = ATTRIBUTES.get(name)
    return endpoint.metrics.custom.get(name) if read is None else read(endpoint.metrics)
