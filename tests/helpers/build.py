"""Small builders: a test names only what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

from epp.core.endpoint import Endpoint, EndpointMetrics, Load
from epp.core.request import RequestFacts

_serial = count(1)


def an_endpoint(
    name: str = "",
    *,
    address: str = "",
    port: int = 8000,
    labels: Mapping[str, str] | None = None,
    waiting: int = 0,  # as the ledger estimates it
    requests: int = 0,  # ours, in flight
    prompt_tokens: int = 0,
    prefilling_tokens: int = 0,
    foreign: float = 0.0,
    read_at: float | None = 0.0,  # None: never read
    **metrics: object,
) -> Endpoint:
    n = next(_serial)
    if read_at is not None:
        ages = ("waiting_read_at", "running_read_at", "kv_cache_usage_read_at", "adapters_read_at")
        metrics = {"waiting": waiting, **dict.fromkeys(ages, read_at), **metrics}
    return Endpoint(
        name or f"pod-{n}",
        address or f"10.0.{n // 250}.{n % 250 + 1}",
        port,
        labels=labels or {},
        metrics=EndpointMetrics(**metrics),  # type: ignore[arg-type]
        load=Load(
            requests=requests,
            prompt_tokens=prompt_tokens,
            prefilling_tokens=prefilling_tokens,
            foreign=foreign,
            waiting=waiting,
        ),
    )


def a_request(**facts: object) -> RequestFacts:
    return RequestFacts("r1", **facts)  # type: ignore[arg-type]
