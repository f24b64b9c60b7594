from __future__ import annotations

import random

from epp.app.scrapes import Scrapes
from epp.compose import compose
from epp.config.build import read_configuration
from epp.configured import Outside
from epp.core.endpoint import EndpointMetrics
from epp.datalayer.scraping.outcome import Failure, ScrapeOutcome
from epp.datalayer.store import EndpointSpec
from epp.telemetry.metrics import Metrics
from tests.helpers.session import Desk

EXTRACTION = {
    "source_type": "metrics-data-source",
    "extractor_type": "core-metrics-extractor",
}


def a_scrape(metrics: EndpointMetrics | None, failure: Failure | None = None) -> ScrapeOutcome:
    return ScrapeOutcome(1.0, 2.0, 0, metrics=metrics, failure=failure)


async def test_pages_that_fail_and_pages_that_lack_something_are_counted() -> None:
    picker = compose(read_configuration(), Outside(random.Random(1), lambda: "id"))
    picker.store.apply([EndpointSpec("a", "10.0.0.1", 80)])
    scrapes = Scrapes(picker, Desk().board, metrics := Metrics())
    [endpoint] = picker.store.endpoints

    def value(name: str, **labels: str) -> float:
        return metrics.registry.get_sample_value(f"llm_d_epp_datalayer_{name}", labels) or 0.0

    whole = EndpointMetrics(waiting_read_at=2.0, running_read_at=2.0, kv_cache_usage_read_at=2.0)
    scrapes.on_reading(endpoint, a_scrape(whole))
    assert value("extract_errors_total", **EXTRACTION) == 0
    scrapes.on_reading(endpoint, a_scrape(EndpointMetrics(waiting_read_at=2.0)))
    assert value("extract_errors_total", **EXTRACTION) == 1
    scrapes.on_reading(endpoint, a_scrape(None, Failure.TIMEOUT))
    labels = {"source_type": "metrics-data-source", "kind": "timeout"}
    assert value("poll_errors_total", **labels) == 1
    assert value("extract_errors_total", **EXTRACTION) == 1
