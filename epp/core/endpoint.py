"""Where a request can be sent, what was last read there, and what we know of its load."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from epp.core.estimate import ServerEstimate

NEVER: Final = -math.inf
PLENTY_OF_KV_CACHE: Final = 0.9  # in use; above, a queue may be one for memory


@dataclass(frozen=True, slots=True)
class EndpointMetrics:
    """What one model server last said of itself. Replaced whole, never edited.

    Each value carries the monotonic time of the page that it was read from, because a page can
    lack a series that an earlier one had. `NEVER` means that the value is only a default.
    """

    waiting: int = 0  # requests queued inside the engine, summed over data-parallel ranks
    waiting_read_at: float = NEVER
    running: int = 0  # requests in the engine's batch, summed over ranks
    running_read_at: float = NEVER
    kv_cache_usage: float = 0.0  # 0 empty to 1 full, the fullest rank
    kv_cache_usage_read_at: float = NEVER
    generated_tokens: float = 0.0  # since the server started, summed over ranks
    generated_tokens_read_at: float = NEVER
    first_tokens: float = 0.0  # requests that had one since the server started, over ranks
    first_tokens_read_at: float = NEVER
    running_adapters: frozenset[str] = frozenset()  # LoRA adapters of running requests
    waiting_adapters: frozenset[str] = frozenset()  # of waiting ones; vLLM 0.32 lists all in both
    max_adapters: int = 0  # adapters that fit one batch; 0 is unknown
    adapters_read_at: float = NEVER
    block_size_tokens: int = 0  # tokens in one KV block; 0 is unknown
    num_blocks: int = 0  # KV blocks of the server, summed over ranks; 0 is unknown
    cache_config_read_at: float = NEVER
    custom: Mapping[str, float] = field(default_factory=dict)  # further series, by configured key
    started_at: float = 0.0  # Unix seconds, of the server's latest process; 0 is unknown

    @property
    def is_short_of_memory(self) -> bool:
        """Of KV cache, or of slots for adapters: its queue may be for that, and for no place."""
        full_of_adapters = 0 < self.max_adapters <= len(self.running_adapters)
        return self.kv_cache_usage > PLENTY_OF_KV_CACHE or full_of_adapters

    @property
    def load_read_at(self) -> float:
        """When anything of the load was last read: no engine has to show all of it."""
        return max(self.waiting_read_at, self.running_read_at, self.kv_cache_usage_read_at)


@dataclass(slots=True, eq=False)
class Load:
    """The load of one endpoint as the picker sees it. The ledger is its only writer."""

    requests: int = 0  # ours, placed and not finished
    prompt_tokens: int = 0  # ours, estimated prompt tokens of those requests
    uncached_tokens: int = 0  # of them, those that the server had to compute when it was picked
    prefilling_tokens: int = 0  # of these, those of requests without a first token so far
    requests_at_reading: int = 0  # ours at the time of the last scrape
    prefilling_tokens_at_reading: int = 0  # likewise
    foreign: float = 0.0  # smoothed requests in the engine that are not ours
    waiting: int = 0  # estimated requests queued in the engine now
    in_engine: int = 0  # likewise, queued or running
    unseen: float = 0.0  # ours that the last readings, smoothed, did not show
    awaited: bool = False  # the first attempt to read it has yet to end
    places: int = 0  # requests that the engine runs at a time, as its queue has shown; 0: unknown
    ended_since_queue: int = 0  # ours, since a reading showed a queue


@dataclass(slots=True, eq=False)
class Endpoint:
    """One serving port of one model server. Compared by identity; metrics are swapped whole."""

    name: str
    address: str  # IPv4 or IPv6 literal, without brackets
    port: int
    namespace: str = "default"
    labels: Mapping[str, str] = field(default_factory=dict)
    metrics: EndpointMetrics = EndpointMetrics()
    load: Load = field(default_factory=Load)
    estimate: ServerEstimate = field(default_factory=ServerEstimate)
    pod_name: str = ""  # shared by the ports of one pod; the name, where there is no pod
    reachable: bool = True  # false after a streak of refused connections, until one succeeds
    paused: bool = False  # left out for a while: it answered nothing but errors
    authority: str = field(init=False)  # host:port, IPv6 in brackets; what the gateway is told

    def __post_init__(self) -> None:
        self.authority = authority(self.address, self.port)
        self.pod_name = self.pod_name or self.name

    def __repr__(self) -> str:
        return f"<Endpoint {self.namespace}/{self.name} {self.authority}>"


def authority(address: str, port: int) -> str:
    """The host:port form of RFC 3986: an IPv6 literal is put in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
