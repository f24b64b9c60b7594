"""Keys and values of a prompt on the way from who computed them to who decodes.

Each server has one link. What it sends and what it receives waits for what was begun before, which
brings as much through in the end as sharing it would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """The default is a network card of 400 Gbit/s."""

    bytes_per_second: float = 50e9
    setup_seconds: float = 0.002  # of each transfer, before its first byte

    def __post_init__(self) -> None:
        if not self.bytes_per_second > 0.0 or self.setup_seconds < 0.0:
            raise ValueError("a link has more than 0 bytes per second and no setup time below 0")


class Links:
    """Of all servers, by number."""

    def __init__(self, settings: LinkSettings, servers: int) -> None:
        self._settings = settings
        self._free_at = [0.0] * servers

    def send(self, between: Sequence[int], size_bytes: int, now: float) -> float:
        """Begin as soon as both servers can. When all of it has arrived."""
        free_at = self._free_at
        start = max(now, *[free_at[server] for server in between])
        end = start + size_bytes / self._settings.bytes_per_second
        for server in between:
            free_at[server] = end
        return end + self._settings.setup_seconds
