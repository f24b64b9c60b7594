"""One request of a run from the asking to the end, with what others do for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from epp.core.request import RequestFacts
from epp.simulation.fleet.engine import FleetEngine
from epp.simulation.fleet.records import Record
from epp.simulation.fleet.requests import FleetRequest
from epp.simulation.fleet.servers import Server
from epp.simulation.workloads.turns import Turn


@dataclass(slots=True, eq=False)
class Flight:
    turn: Turn
    session: Iterator[Turn]
    record: Record
    facts: RequestFacts
    request: FleetRequest  # that is answered
    server: Server | None = None  # that answers
    # Where another server computes the prompt: what it is asked.
    prefill: FleetRequest | None = None
    prefiller: Server | None = None
    prefill_engine: FleetEngine | None = None  # that keeps the blocks of it
    # Where others encode the images: who is asked what.
    encodes: dict[FleetRequest, Server] = field(default_factory=dict)
    encoded_at: float = 0.0  # when what they made of them is where the prompt is computed

    def where(self, request: FleetRequest) -> Server | None:
        if request is self.request:
            return self.server
        if request is self.prefill:
            return self.prefiller
        return self.encodes.get(request)
