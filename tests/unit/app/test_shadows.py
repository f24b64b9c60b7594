from __future__ import annotations

import logging

import pytest

from epp.app.shadows import MAX_KINDS, SILENT_SECONDS, FailureLog


def raised(kind: type[Exception]) -> Exception:
    try:
        raise kind("boom")
    except kind as error:
        return error


def test_a_kind_of_failure_is_told_once_and_later_how_often(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    failures = FailureLog(lambda: now)
    with caplog.at_level(logging.ERROR):
        for _ in range(1000):
            failures("s", raised(ValueError))
        failures("s", raised(KeyError))
        failures("t", raised(ValueError))
        assert [record.getMessage().split()[2] for record in caplog.records] == ["s", "s", "t"]
        assert caplog.records[0].exc_info is not None
        now = SILENT_SECONDS
        failures("s", raised(ValueError))
    assert vars(caplog.records[-1])["more_of_its_kind_before"] == 999


def test_kinds_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    failures = FailureLog(lambda: 0.0)
    with caplog.at_level(logging.ERROR):
        for n in range(3 * MAX_KINDS):
            failures(f"profile-{n}", raised(ValueError))
    assert len(caplog.records) == MAX_KINDS + 1
