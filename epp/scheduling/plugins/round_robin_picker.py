"""Pick in turn, whatever the scores: the endpoint whose last turn is the longest ago."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import StatefulPicker
from epp.scheduling.readings import longest_without

MAX_ENDPOINTS: Final = 8192  # remembered; those whose turn is the longest ago are forgotten


@dataclass(slots=True)
class Turns:
    last: dict[str, int] = field(default_factory=dict)  # serial of the last turn, by authority
    taken: int = 0


@dataclass(frozen=True, slots=True)
class RoundRobinPicker(StatefulPicker):
    """Turns are by endpoint, not by position; one that had none so far is next.

    So requests that may go to different endpoints do not skew each other's rounds.
    """

    type_name: ClassVar[str] = "round-robin-picker"

    def new_state(self) -> Turns:
        return Turns()

    def pick(
        self,
        state: Turns,
        endpoints: Sequence[Endpoint],
        scores: Sequence[float],
        count: int,
        rng: random.Random,
    ) -> Sequence[Endpoint]:
        return longest_without(endpoints, state.last, count)

    def decided(
        self,
        state: Turns,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        picked: Endpoint,
        now: float,
    ) -> None:
        state.taken += 1
        state.last.pop(picked.authority, None)
        state.last[picked.authority] = state.taken  # at the end: the first is the oldest
        if len(state.last) > MAX_ENDPOINTS:
            del state.last[next(iter(state.last))]
