"""Keep the endpoint that a session was sent to before, and all if it is not there."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import StatefulFilter
from epp.scheduling.sessions import SessionAffinity, Sessions


@dataclass(frozen=True, slots=True)
class SessionAffinityFilter(SessionAffinity, StatefulFilter):
    """With flow control a session waits for its endpoint, however idle others are."""

    type_name: ClassVar[str] = "session-affinity-filter"

    def keep(
        self, state: Sessions, request: RequestFacts, endpoints: Sequence[Endpoint]
    ) -> Sequence[Endpoint]:
        own = self.own(state, request, endpoints)
        return endpoints if own is None else [own]

    def fit_key(self, request: RequestFacts) -> Hashable:
        return self.session_key(request)
