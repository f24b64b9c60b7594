"""Candidates around one lease as the API server keeps it; calls may be late and answers lost."""

from __future__ import annotations

import copy
import datetime
import random
from dataclasses import dataclass, field
from typing import Any

from epp.app.election.election import Election, Look, Rest, Step, Write
from epp.app.election.lease import StoredLease, lease_document, read_lease
from epp.app.election.settings import ElectionSettings

EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@dataclass
class LeaseServer:
    """One object with optimistic concurrency, as the API server has it."""

    document: dict[str, Any] | None = None
    version: int = 0

    def read(self) -> StoredLease | None:
        return None if self.document is None else read_lease(copy.deepcopy(self.document))

    def write(self, write: Write) -> StoredLease | None:
        """None for a conflict."""
        body = lease_document(write.stored, "lease", "ns")
        if write.creates != (self.document is None):
            return None
        if self.document is not None:
            held = self.document["metadata"]["resourceVersion"]
            if body["metadata"]["resourceVersion"] != held:
                return None
        self.version += 1
        self.document = {**body, "metadata": {"resourceVersion": str(self.version)}}
        return read_lease(copy.deepcopy(self.document))


@dataclass
class Call:
    """On its way: not at the server yet, or with an answer on the way back."""

    step: Look | Write
    started: float
    arrived: bool = False
    answer: StoredLease | None = None


@dataclass
class Candidate:
    name: str
    server: LeaseServer
    seed: int = 0
    skew: float = 0.0  # its wall clock is that much off
    election: Election = field(init=False)
    call: Call | None = None
    left: bool = False

    def __post_init__(self) -> None:
        self.election = Election(ElectionSettings(self.name), random.Random(self.seed))

    def tick(self, now: float) -> Step:
        wall = EPOCH + datetime.timedelta(seconds=now + self.skew)
        return self.election.tick(now, wall)

    def begin(self, now: float) -> None:
        """Sends a call, if there is one to send."""
        if self.call is None and not isinstance(step := self.tick(now), Rest):
            self.call = Call(step, now)

    def arrive(self) -> None:
        """The call takes effect at the server."""
        call = self.call
        if call is None or call.arrived:
            return
        call.arrived = True
        match call.step:
            case Look():
                call.answer = self.server.read()
            case Write():
                call.answer = self.server.write(call.step)

    def finish(self, now: float) -> None:
        """The answer comes back."""
        call = self.call
        if call is None or not call.arrived:
            return
        self.call = None
        if isinstance(call.step, Look):
            self.election.observe(call.answer, now)
        elif call.answer is None:
            self.election.lost_race(now)
        else:
            self.election.wrote(call.answer, call.started)

    def lose(self, now: float) -> None:
        """No answer comes, whether the call arrived or not."""
        if self.call is not None:
            self.call = None
            self.election.failed(now)

    def leave(self) -> None:
        self.left = True
        self.election.leave()

    def round(self, now: float) -> None:
        """One call with no delay at all."""
        self.begin(now)
        self.arrive()
        self.finish(now)
