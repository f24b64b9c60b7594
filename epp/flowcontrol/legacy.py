"""Admission with `flowControl=false`: nobody waits, and only negative priorities are shed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from epp.core.decision import Outcome, Placed, Waiting
from epp.core.fullness import Fullness
from epp.core.refusal import Reason, Refused
from epp.core.request import RequestFacts


class LegacyAdmission:
    """Everyone is placed, room or not; a sheddable request only while there is room."""

    def __init__(
        self,
        attempt: Callable[[RequestFacts, float], Placed | None],
        saturation: Callable[[RequestFacts, float], float],
    ) -> None:
        self._attempt = attempt
        self._saturation = saturation

    def reconfigure(
        self,
        attempt: Callable[[RequestFacts, float], Placed | None],
        saturation: Callable[[RequestFacts, float], float],
    ) -> None:
        """From now on these hold."""
        self._attempt = attempt
        self._saturation = saturation

    def requests(self) -> Iterator[RequestFacts]:
        """Nobody waits."""
        return iter(())

    def place(self, facts: RequestFacts, now: float) -> Outcome | Waiting:
        self._shed(facts, now)
        if (placed := self._attempt(facts, now)) is None:
            raise _no_endpoints()
        return placed

    def preview(self, facts: RequestFacts, now: float, *, placeable: bool) -> int | None:
        """What `place` would come to, and nothing happens: None is placed. Raises Refused."""
        self._shed(facts, now)
        if not placeable:
            raise _no_endpoints()
        return None

    def abandon(self, facts: RequestFacts) -> None:
        """Nobody waits."""

    def something_changed(self, now: float) -> list[tuple[RequestFacts, Outcome]]:
        return []

    def next_deadline(self) -> float | None:
        return None

    def waiting(self) -> Iterator[tuple[int, int, int]]:
        return iter(())

    def fullness(self, priorities: Iterable[int]) -> Fullness:
        """There is no line and no limit of one."""
        return Fullness()

    def close(self) -> list[tuple[RequestFacts, Outcome]]:
        return []

    def _shed(self, facts: RequestFacts, now: float) -> None:
        if facts.priority < 0 and facts.needs_room and self._saturation(facts, now) >= 1.0:
            detail = "system saturated, sheddable request dropped"
            raise Refused(Reason.SATURATED, detail, 1.0)


def _no_endpoints() -> Refused:
    detail = "failed to find endpoint candidates for serving the request"
    return Refused(Reason.NO_ENDPOINTS, detail, 1.0)
