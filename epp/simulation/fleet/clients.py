"""The clients of a run: when each session begins, and what it asks next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

from epp.simulation.workloads.arrivals import ClosedLoop, Load, OpenLoop, Timed
from epp.simulation.workloads.turns import Session, Turn

Ask = tuple[float, Turn, Iterator[Turn]]  # when, what, and what comes after it


class Clients:
    """Iterates over sessions; each turn follows the end of the one before."""

    def __init__(self, sessions: Iterable[Session], load: Load, rng: Random) -> None:
        self._sessions = iter(sessions)
        self._load = load
        self._starts: Iterator[float] = iter(())
        match load:
            case OpenLoop():
                self._starts = load.starts(rng)
            case Timed():
                self._starts = iter(load.starts)
            case ClosedLoop(clients, ramp):
                self._starts = iter([ramp * n / clients for n in range(clients)])

    def next_start(self) -> Ask | None:
        """The session that begins next, in order of time; None if no more begin by themselves."""
        at = next(self._starts, None)
        return None if at is None else self._begin(at)

    def after(self, session: Iterator[Turn], now: float) -> Ask | None:
        """What follows the end of a turn; None if its client leaves."""
        turn = next(session, None)
        if turn is not None:
            return now + turn.after_seconds, turn, session
        return self._begin(now) if isinstance(self._load, ClosedLoop) else None

    def _begin(self, at: float) -> Ask | None:
        session = next(self._sessions, None)
        if session is None:
            return None
        turns = iter(session)
        turn = next(turns, None)
        return None if turn is None else (at + turn.after_seconds, turn, turns)
