from __future__ import annotations

import pytest

from epp.scheduling.attributes import ATTRIBUTES, attribute
from tests.helpers.build import an_endpoint


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("KVCacheUsagePercent", 0.25),
        ("WaitingQueueSize", 3),
        ("RunningRequestsSize", 7),
        ("temperature", 61.5),
        ("other", None),
    ],
)
def test_what_was_last_read(name: str, number: float | None) -> None:
    endpoint = an_endpoint(kv_cache_usage=0.25, waiting=3, running=7, custom={"temperature": 61.5})
    assert attribute(endpoint, name) == number


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_what_was_never_read_is_missing(name: str) -> None:
    assert attribute(an_endpoint(read_at=None), name) is None
