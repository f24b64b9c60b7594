"""Explaining in a running picker: what the admin port asks, answered by the room `explain`."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from epp.admin.explaining import Explainer, Render, TriedRequest
from epp.compose import Picker
from epp.core.decision import DecisionRecord
from epp.director import Arrival
from epp.explain.document import taken
from epp.explain.dry_run import explain


@dataclass(frozen=True, slots=True)
class RunningExplainer:
    picker: Picker
    recent: Callable[[], Iterable[DecisionRecord]]  # oldest first
    now: Callable[[], float]
    rng: random.Random

    def explainer(self) -> Explainer:
        return Explainer(self._try, self._recall)

    def _try(self, request: TriedRequest) -> Render:
        now = self.now()
        headers = {**request.headers, ":path": request.path, ":method": "POST"}
        arrival = Arrival(
            headers=headers,
            body=request.body,
            complete=True,
            has_body=bool(request.body),
            received_at=now,
            subset=request.subset,
            takes_lists=request.takes_lists,
        )
        return explain(self.picker, arrival, now, self.rng.getrandbits(64)).as_dict

    def _recall(self, request_id: str) -> Render | None:
        """The last one, where an id came more than once."""
        found: DecisionRecord | None = None
        for record in self.recent():
            if record.request_id == request_id:
                found = record
        if found is None:
            return None
        record, now = found, self.now()
        return lambda: taken(record, now)
