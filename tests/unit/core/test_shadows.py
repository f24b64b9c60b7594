from __future__ import annotations

from dataclasses import fields

from epp.core.shadows import ShadowCounts, ShadowStatus

COUNTS = ShadowCounts(
    agreed=6,
    differed=3,
    not_placed=1,
    skipped=90,
    failed=2,
    predicted=4,
    saved_seconds=3.0,
    lost_seconds=1.0,
    overhead_seconds=0.75,
)


def test_what_is_shown_of_them() -> None:
    status = ShadowStatus("s", "live", 0.01, 120.0, COUNTS)
    assert status.agreement == 0.6
    assert status.cost_difference_seconds == -0.5
    assert status.overhead_seconds == 0.0625
    assert status.loop_share == 0.00625
    assert ShadowStatus("s", "live", 0.01, 0.0, ShadowCounts()).loop_share == 0.0


def test_a_copy_stays_and_the_rest_is_what_came_since() -> None:
    counts = COUNTS.copy()
    before = counts.copy()
    for number, found in enumerate(fields(ShadowCounts), 1):
        setattr(counts, found.name, getattr(counts, found.name) + number)
    assert before == COUNTS
    since = counts.since(before)
    assert [getattr(since, f.name) for f in fields(ShadowCounts)] == list(range(1, 10))
