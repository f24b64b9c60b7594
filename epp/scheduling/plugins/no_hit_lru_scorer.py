"""Spread prompts that nobody has cached over the endpoints, so that caches grow evenly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import StatefulScorer
from epp.scheduling.readings import longest_without

DEFAULT_SIZE: Final = 1024


@dataclass(slots=True)
class ColdRequests:
    last: dict[str, int] = field(default_factory=dict)  # serial of the last, by authority; in order
    taken: int = 0


@dataclass(frozen=True, slots=True)
class NoHitLruScorer(StatefulScorer):
    """A request is cold if none of the endpoints has anything of its prompt cached.

    Of a cold request those that never took one come first, then the one that took one the longest
    ago: 1 to 0 in equal steps. Of another all score 0.5.
    """

    type_name: ClassVar[str] = "no-hit-lru-scorer"
    reads_prefix: ClassVar[bool] = True

    lru_size: int = DEFAULT_SIZE  # endpoints remembered; not above zero: the default
    prefix_match_info_producer_name: str = ""  # accepted: there is one index
    prefix_plugin_type: str = ""  # accepted, without effect in the Go picker too
    prefix_plugin_name: str = ""  # likewise

    def new_state(self) -> ColdRequests:
        return ColdRequests()

    def score(
        self, state: ColdRequests, request: RequestFacts, endpoints: Sequence[Endpoint]
    ) -> Sequence[float]:
        count = len(endpoints)
        if not _is_cold(request, endpoints):
            return [0.5] * count
        if count == 1:
            return [1.0]
        order = longest_without(endpoints, state.last, count)
        scores = {endpoint: 1.0 - rank / (count - 1) for rank, endpoint in enumerate(order)}
        return [scores[endpoint] for endpoint in endpoints]

    def decided(
        self,
        state: ColdRequests,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        picked: Endpoint,
        now: float,
    ) -> None:
        if not request.needs_room or not _is_cold(request, endpoints):
            return
        state.taken += 1
        state.last.pop(picked.authority, None)
        state.last[picked.authority] = state.taken
        if len(state.last) > (self.lru_size if self.lru_size > 0 else DEFAULT_SIZE):
            del state.last[next(iter(state.last))]


def _is_cold(request: RequestFacts, endpoints: Sequence[Endpoint]) -> bool:
    cached = request.cached_tokens
    return not cached or not any(cached.get(endpoint, 0) for endpoint in endpoints)
