from __future__ import annotations

import pytest

from epp.datalayer.scraping.settings import ScrapeSettings


@pytest.mark.parametrize("path", ["metrics", "/metrics?x=1", "/a b", "/a\r\nhost: x", ""])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="scrape path"):
        ScrapeSettings(path=path)


@pytest.mark.parametrize("interval", [0.0, -1.0])
def test_an_interval_is_positive(interval: float) -> None:
    with pytest.raises(ValueError, match="scrape interval"):
        ScrapeSettings(interval_seconds=interval)
