"""Prefer the endpoint that a session was sent to before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import StatefulScorer
from epp.scheduling.sessions import SessionAffinity, Sessions


@dataclass(frozen=True, slots=True)
class SessionAffinityScorer(SessionAffinity, StatefulScorer):
    """1 for the endpoint of the session, else 0."""

    type_name: ClassVar[str] = "session-affinity-scorer"

    def score(
        self, state: Sessions, request: RequestFacts, endpoints: Sequence[Endpoint]
    ) -> Sequence[float]:
        own = self.own(state, request, endpoints)
        return [1.0 if endpoint is own else 0.0 for endpoint in endpoints]
