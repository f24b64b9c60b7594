"""Whether an endpoint's metrics can be read: what is worth a line in the log, once."""

from __future__ import annotations

from epp.core.endpoint import Endpoint
from epp.datalayer.scraping.outcome import Failure

STREAK = 3  # failures in a row


class Readability:
    """Remembers streaks of failures of any kind."""

    def __init__(self) -> None:
        self._streaks: dict[Endpoint, int] = {}

    def after(self, endpoint: Endpoint, failure: Failure | None) -> bool | None:
        """Take in a scrape; `failure` is None for one that went well. None if that is no news."""
        if failure is None:
            return True if self._streaks.pop(endpoint, 0) >= STREAK else None
        streak = self._streaks[endpoint] = self._streaks.get(endpoint, 0) + 1
        return False if streak == STREAK else None

    def forget(self, endpoint: Endpoint) -> None:
        self._streaks.pop(endpoint, None)
