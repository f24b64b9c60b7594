"""Where LoRA adapters are, inferred from what was sent where, and what loading one costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import IntEnum
from itertools import islice
from typing import Final

from epp.core.endpoint import Endpoint
from epp.core.estimate import PoolEstimate
from epp.estimation.recent import RecentMedian

DEFAULT_SLOTS: Final = 4  # adapters in a batch, of a server that does not say
REMEMBERED: Final = 1024  # adapters of one server
LOADS: Final = 64  # whose cost is remembered
# Prompt tokens that could be computed while an adapter is loaded, until that was seen. Engines
# take tens of milliseconds from the host's memory and 0.1 to several seconds from a disk, and
# compute about ten thousand tokens a second.
HOST_LOAD_TOKENS: Final = 512.0
AWAY_LOAD_TOKENS: Final = 8192.0
BUSIEST: Final = 5  # requests of an adapter: with more, its slot is as good as never free


class Tier(IntEnum):
    """How far an adapter is from a server's batch."""

    RESIDENT = 0  # on the accelerator
    HOST = 1  # it was there before: in the memory of the host, or not far
    AWAY = 2


class _ServerAdapters:
    """Of one server."""

    __slots__ = ("in_flight", "recent")

    def __init__(self) -> None:
        self.recent: dict[str, None] = {}  # sent there; the latest last
        self.in_flight: dict[str, int] = {}  # requests by adapter


class Residency:
    """Least recently sent leaves first, as in engines. Synchronous, bounded."""

    def __init__(self, listed: Callable[[Endpoint, str], bool]) -> None:
        """`listed` says whether the server itself names the adapter among its models."""
        self._listed = listed
        self._servers: dict[Endpoint, _ServerAdapters] = {}
        self._loads = {Tier.HOST: RecentMedian(LOADS), Tier.AWAY: RecentMedian(LOADS)}

    def tier(self, endpoint: Endpoint, adapter: str) -> Tier:
        if adapter in endpoint.metrics.running_adapters:
            return Tier.RESIDENT
        server = self._servers.get(endpoint)
        if server is not None and adapter in server.recent:
            latest = islice(reversed(server.recent), _slots(endpoint))
            return Tier.RESIDENT if adapter in latest else Tier.HOST
        return Tier.HOST if self._listed(endpoint, adapter) else Tier.AWAY

    def load_seconds(self, tier: Tier, token_seconds: float) -> float:
        """That a server stands still. `token_seconds` is what a prompt token takes to compute.

        In tokens where that is 1 because no speed is known: then no load was measured either.
        """
        if tier is Tier.RESIDENT:
            return 0.0
        host, away = self._loads[Tier.HOST].median, self._loads[Tier.AWAY].median
        near = HOST_LOAD_TOKENS * token_seconds if math.isnan(host) else max(0.0, host)
        if tier is Tier.HOST:
            return near
        return max(near, AWAY_LOAD_TOKENS * token_seconds if math.isnan(away) else away)

    def loaded(self, tier: Tier, seconds: float) -> None:
        """`seconds` is what a request took beyond what it would have taken otherwise."""
        if tier is not Tier.RESIDENT:
            self._loads[tier].add(seconds)

    def costs(
        self, adapter: str, endpoints: Sequence[Endpoint], pool: PoolEstimate | None
    ) -> tuple[dict[Endpoint, float], dict[Endpoint, float]]:
        """By endpoint, where it is not zero: seconds of loading, and of waiting for a slot.

        Both in prompt tokens as long as no speed is known.
        """
        token_seconds = 1.0 if pool is None else pool.prefill_token_seconds
        residence = AWAY_LOAD_TOKENS if pool is None else pool.residence_seconds
        loads: dict[Endpoint, float] = {}
        waits: dict[Endpoint, float] = {}
        for endpoint in endpoints:
            if seconds := self.load_seconds(self.tier(endpoint, adapter), token_seconds):
                loads[endpoint] = seconds
            if seconds := self.slot_wait(endpoint, adapter, residence):
                waits[endpoint] = seconds
        return loads, waits

    def slot_wait(self, endpoint: Endpoint, adapter: str, residence: float) -> float:
        """Until an adapter there has no more requests, each of which takes `residence`.

        More of them come meanwhile and go first: the mean busy period of M/G/infinity with as many
        requests as the adapter with the fewest has now, for each adapter that is too many.
        """
        excess = self.excess(endpoint, adapter)
        if not excess:
            return 0.0
        fewest = min(self._servers[endpoint].in_flight.values())
        return excess * residence * math.expm1(min(fewest, BUSIEST)) / fewest

    def excess(self, endpoint: Endpoint, adapter: str) -> int:
        """Adapters whose requests must end there before one for this can begin."""
        server = self._servers.get(endpoint)
        if server is None or adapter in server.in_flight:
            return 0
        return max(0, len(server.in_flight) + 1 - _slots(endpoint))

    def enter(self, endpoint: Endpoint, adapter: str) -> Tier:
        """A request for the adapter is sent. Returns where the adapter was before."""
        before = self.tier(endpoint, adapter)
        server = self._servers.get(endpoint)
        if server is None:
            server = self._servers[endpoint] = _ServerAdapters()
        server.recent.pop(adapter, None)
        server.recent[adapter] = None
        if len(server.recent) > REMEMBERED:
            del server.recent[next(iter(server.recent))]
        server.in_flight[adapter] = server.in_flight.get(adapter, 0) + 1
        return before

    def leave(self, endpoint: Endpoint, adapter: str) -> None:
        """A request for the adapter is over, or was moved."""
        server = self._servers.get(endpoint)
        if server is None or adapter not in server.in_flight:
            return  # forgotten meanwhile
        server.in_flight[adapter] -= 1
        if not server.in_flight[adapter]:
            del server.in_flight[adapter]

    def restarted(self, endpoint: Endpoint) -> None:
        """The server has lost all adapters; requests that were in flight there still end."""
        if (server := self._servers.get(endpoint)) is not None:
            server.recent.clear()

    def forget(self, endpoint: Endpoint) -> None:
        self._servers.pop(endpoint, None)


def _slots(endpoint: Endpoint) -> int:
    return endpoint.metrics.max_adapters or DEFAULT_SLOTS
