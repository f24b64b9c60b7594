"""How often and how patiently model servers are asked."""

from __future__ import annotations

from dataclasses import dataclass, field

from epp.datalayer.scraping.engines import EngineSettings


@dataclass(frozen=True, slots=True)
class ScrapeSettings:
    interval_seconds: float = 0.05  # between two scrapes of one endpoint at the least
    idle_interval_seconds: float = 1.0  # where nothing happens; no less than the above
    timeout_seconds: float = 1.0  # for connecting and the whole answer together
    max_back_off_seconds: float = 5.0
    max_page_bytes: int = 8 * 1024 * 1024
    path: str = "/metrics"
    port: int | None = None  # None: the endpoint's own
    engines: EngineSettings = field(default_factory=EngineSettings)

    def __post_init__(self) -> None:
        if self.interval_seconds <= 0:
            raise ValueError("scrape interval: more than 0 seconds is expected")
        if not self.path.startswith("/") or any(c in self.path for c in " \t\r\n?#"):
            raise ValueError(f"scrape path {self.path!r}: a path without a query is expected")
