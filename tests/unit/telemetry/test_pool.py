from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from epp.core.endpoint import Endpoint
from epp.core.fullness import Fullness
from epp.telemetry.pool import PoolCollector, PoolSources
from tests.helpers.build import an_endpoint

POOL = (
    an_endpoint("a", waiting=2, running=4, kv_cache_usage=0.5, requests=3, read_at=9.5),
    an_endpoint("b", waiting=4, running=6, kv_cache_usage=0.25, read_at=9.5),
    an_endpoint("old", waiting=90, read_at=1.0),
)


def values(pool: Sequence[Endpoint] = POOL, **changes: object) -> dict[str, float]:
    sources = PoolSources(
        pool_name="p",
        endpoints=lambda: pool,
        saturations=lambda _now: {"prefill": 0.2, "effective": 0.4},
        fullness=lambda: Fullness({5: (0.5, 0.25), 0: (0.0, 0.0)}, requests=0.75),
        prefix_blocks=lambda: 12,
        now=lambda: 10.0,
        **changes,  # type: ignore[arg-type]
    )
    return {
        f"{s.name.removeprefix('llm_d_epp_')}{list(s.labels.values())}": s.value
        for family in PoolCollector(sources).collect()
        for s in family.samples
    }


def test_averages_are_of_the_fresh_and_the_rest_is_of_all() -> None:
    found = values()
    assert found["average_queue_size['p']"] == 3
    assert found["average_running_requests['p']"] == 5
    assert found["average_kv_cache_utilization['p']"] == 0.38
    assert found["std_dev_queue_size['p']"] == 1.41
    assert found["ready_endpoints['p']"] == 2
    assert found["per_endpoint_queue_size['p', 'old']"] == 90
    assert found["endpoint_inflight_requests['a', 'default']"] == 3
    assert found["flow_control_pool_saturation['p', 'effective']"] == 0.4
    assert found["flow_control_pool_saturation['p', 'prefill']"] == 0.2
    assert found["flow_control_capacity_utilization_requests['5', 'p']"] == 0.5
    assert found["flow_control_capacity_utilization_bytes['5', 'p']"] == 0.25
    assert found["flow_control_capacity_utilization_bytes['0', 'p']"] == 0
    assert found["flow_control_global_capacity_utilization_requests['p']"] == 0.75
    assert "flow_control_global_capacity_utilization_bytes['p']" not in found  # without a limit


def test_without_a_fresh_endpoint_there_is_no_average() -> None:
    found = values(stale_after_seconds=0.1)
    assert found["ready_endpoints['p']"] == 0
    assert not any(name.startswith("average") for name in found)


@pytest.mark.parametrize(
    ("series", "gauge"),
    [
        ("waiting", "queue_size"),
        ("running", "running_requests"),
        ("kv_cache_usage", "kv_cache_utilization"),
    ],
)
def test_an_endpoint_is_fresh_by_any_series_of_its_load(series: str, gauge: str) -> None:
    """Triton shows no running requests, and a mapping of one's own may name one series alone."""
    shown, never = an_endpoint(), an_endpoint(read_at=None)
    shown.metrics = replace(never.metrics, **{series: 1, f"{series}_read_at": 9.0})
    found = values([shown, never])
    assert found["ready_endpoints['p']"] == 1
    assert found[f"average_{gauge}['p']"] == 1
    assert found["std_dev_queue_size['p']"] == 0
