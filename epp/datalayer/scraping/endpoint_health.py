"""Whether an endpoint counts as reachable, judged by how its scrapes ended."""

from __future__ import annotations

from epp.core.endpoint import Endpoint
from epp.datalayer.scraping.outcome import Failure

STREAK = 3  # refused connections in a row

_NOBODY_THERE = frozenset((Failure.REFUSED, Failure.UNREACHABLE))
_NO_EVIDENCE = frozenset((Failure.TIMEOUT, Failure.LOST))


class EndpointHealth:
    """Remembers streaks. Only connections that nobody took count against an endpoint.

    A server that answers at all is there, whatever it says: one without a metrics page must not
    stay out for ever. A slow one is no dead one, so a timeout changes nothing.
    """

    def __init__(self) -> None:
        self._streaks: dict[
            Endpoint, int
        ] = {}  # only of endpoints with a failure in the last scrape

    def reachable_after(self, endpoint: Endpoint, failure: Failure | None) -> bool:
        """Take in a scrape; `failure` is None for one that went well."""
        if failure in _NO_EVIDENCE:
            return endpoint.reachable
        if failure not in _NOBODY_THERE:
            self._streaks.pop(endpoint, None)
            return True
        streak = min(STREAK, self._streaks.get(endpoint, 0) + 1)
        self._streaks[endpoint] = streak
        return endpoint.reachable and streak < STREAK

    def forget(self, endpoint: Endpoint) -> None:
        self._streaks.pop(endpoint, None)
