"""One line a request, without the logging machinery: it is on the path of every request."""

from __future__ import annotations

import time
from collections.abc import Callable

from epp.core.json_text import dumps


class RequestLog:
    """Writes what JsonLines would, by `put`, which takes whole lines."""

    def __init__(self, put: Callable[[bytes], None], *, enabled: bool) -> None:
        self.enabled = enabled
        self._put = put

    def begin(self) -> dict[str, object]:
        """A line at its beginning, with the time that it is now."""
        timestamp = int(time.time() * 1e6) / 1e6
        return {"level": "info", "ts": timestamp, "logger": "epp.requests", "msg": "request"}

    def write(self, line: dict[str, object]) -> None:
        self._put(dumps(line, str) + b"\n")
