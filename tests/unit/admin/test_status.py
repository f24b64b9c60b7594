from __future__ import annotations

import orjson

from epp.admin.status import (
    MAX_DECISIONS,
    MAX_ENDPOINTS,
    ConfigurationStatus,
    StatusSources,
    status,
)
from epp.core.decision import record_of
from epp.core.estimate import PoolEstimate
from epp.core.shadows import ShadowCounts, ShadowStatus
from tests.helpers.build import a_request, an_endpoint

COUNTS = ShadowCounts(3, 1, 0, 7, 2, 2, 0.5, 0.25, 0.75)


def sources(endpoints: int = 2, decisions: int = 3) -> StatusSources:
    pool = [an_endpoint(requests=3, foreign=1.234, read_at=9.0) for _ in range(endpoints)]
    pool[0] = an_endpoint(read_at=None)
    request = a_request(headers={"authorization": "secret"}, model="m")
    records = []
    for n in range(decisions):
        record = record_of(request, float(n))
        record.candidates, record.totals, record.scores = pool[:2], [1.0, 2.0], {"s": [0.5, 1.0]}
        records.append(record)
    return StatusSources(
        pool_name="pool",
        endpoints=lambda: pool,
        cached_tokens=lambda _: 7,
        waiting=lambda: [(5, 2, 100)],
        recent=lambda: records,
        ready=lambda: True,
        configuration=lambda: ConfigurationStatus(3, "ab12", 5.0, problem="kind: is missing"),
        estimate=lambda now: PoolEstimate(0.01, 0.00003, 12.6, now - 3.0),
        now=lambda: 10.0,
        shadows=lambda: [ShadowStatus("s", "live", 0.01, 100.0, COUNTS)],
    )


def test_what_it_shows() -> None:
    shown = orjson.loads(orjson.dumps(status(sources())))
    assert shown["endpoints"][0]["age_seconds"] is None
    assert shown["endpoints"][1]["age_seconds"] == 1.0
    assert shown["endpoints"][1]["in_flight"] == 3
    assert shown["endpoints"][1]["places"] is None
    assert shown["endpoints"][1]["prefill_ratio"] == 1.0
    assert shown["learned"]["prefill_token_seconds"] == 0.00003
    assert shown["learned"]["prefill_samples"] == 13
    assert shown["learned"]["prefill_age_seconds"] == 3.0
    assert shown["learned"]["decode_age_seconds"] is None
    assert shown["waiting"] == [{"priority": 5, "requests": 2, "bytes": 100}]
    assert [d["age_seconds"] for d in shown["decisions"]] == [8.0, 9.0, 10.0]
    assert shown["decisions"][0]["candidates"][1]["scores"] == {"s": 1.0}
    assert shown["configuration"] == {
        "generation": 3,
        "digest": "ab12",
        "applied_at": 5.0,
        "problem": "kind: is missing",
        "needs_restart": [],
    }


def test_shadow_profiles_by_what_they_are_compared_with() -> None:
    [shown] = orjson.loads(orjson.dumps(status(sources())))["shadows"]
    assert shown == {
        "profile": "s",
        "live_profile": "live",
        "seconds": 100.0,
        "compared": 4,
        "agreed": 3,
        "not_placed": 0,
        "skipped": 7,
        "failed": 2,
        "agreement": 0.75,
        "predicted": 2,
        "cost_difference_seconds": -0.125,
        "overhead_seconds": 0.125,
        "loop_share": 0.0075,
        "max_loop_share": 0.01,
    }


def test_it_is_bounded_and_shows_no_header() -> None:
    shown = status(sources(endpoints=MAX_ENDPOINTS + 9, decisions=MAX_DECISIONS + 9))
    assert shown["endpoint_count"] == MAX_ENDPOINTS + 9
    assert len(shown["endpoints"]) == MAX_ENDPOINTS  # type: ignore[arg-type]
    assert len(shown["decisions"]) == MAX_DECISIONS  # type: ignore[arg-type]
    assert b"secret" not in orjson.dumps(shown)
