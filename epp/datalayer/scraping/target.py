"""What the scraper knows of one endpoint: how to ask it, and how far the present scrape is."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field

from epp.core.endpoint import Endpoint, authority
from epp.datalayer.scraping.connection import Connection
from epp.datalayer.scraping.engines import EngineMapping
from epp.datalayer.scraping.page_query import PageQuery, bare_request, filtered_request
from epp.datalayer.scraping.settings import ScrapeSettings


@dataclass(slots=True, eq=False)
class Target:
    endpoint: Endpoint
    settings: ScrapeSettings
    interval: float  # seconds, as pacing last decided
    port: int = field(init=False)
    mapping: EngineMapping = field(init=False)
    query: PageQuery = field(init=False)
    filtered_request: bytes = field(init=False)
    bare_request: bytes = field(init=False)
    connection: Connection | None = None
    connecting: asyncio.Task[None] | None = None
    in_flight: bool = False  # from the launch until the outcome is told
    wants_refresh: bool = False  # asked for while in flight
    asked_filtered: bool = False
    launched_at: float = -math.inf  # of the present or last scrape, monotonic seconds
    started_at: float = 0.0  # its request was sent
    requests_at_start: int = 0
    failures: int = 0  # in a row

    def __post_init__(self) -> None:
        settings = self.settings
        self.port = settings.port or self.endpoint.port
        self.mapping = settings.engines.of(self.endpoint.labels)
        self.query = PageQuery(self.mapping.dependable)
        host = authority(self.endpoint.address, self.port)
        self.filtered_request = filtered_request(host, settings.path, self.mapping)
        self.bare_request = bare_request(host, settings.path)

    def start(self, now: float) -> None:
        self.started_at = now
        self.requests_at_start = self.endpoint.load.requests

    def ask(self, connection: Connection, now: float) -> None:
        self.start(now)
        self.asked_filtered = self.query.filtered(now)
        connection.get(self.filtered_request if self.asked_filtered else self.bare_request)

    def disconnect(self) -> None:
        if self.connection is not None:
            self.connection.abort()
            self.connection = None
        if self.connecting is not None:
            self.connecting.cancel()
            self.connecting = None
