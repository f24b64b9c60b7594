from __future__ import annotations

from collections.abc import Mapping

import pytest

from epp.extproc.counted import CODES, counted
from epp.extproc.transport.interfaces import Session, Status, Stream
from epp.telemetry.metrics import Metrics
from tests.helpers.session import RememberingStream


class Recorder:
    def __init__(self) -> None:
        self.calls: list[object] = []

    def open(self, stream: Stream, metadata: Mapping[str, str]) -> Session:
        self.calls.append(dict(metadata))
        return self

    def received(self, message: bytes) -> None:
        self.calls.append(message)

    def half_closed(self) -> None:
        self.calls.append("half closed")

    def closed(self) -> None:
        self.calls.append("closed")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"llm_d_epp_extproc_{name}", labels)


def test_the_gauge_goes_up_and_down_and_the_session_sees_everything() -> None:
    metrics, recorder = Metrics(), Recorder()
    open_session = counted(recorder.open, metrics.count_streams(), lambda: 0.0)
    first = open_session(RememberingStream(), {"a": "b"})
    second = open_session(RememberingStream(), {})
    assert value(metrics, "streams_inflight") == 2
    first.received(b"m")
    first.half_closed()
    first.closed()
    assert value(metrics, "streams_inflight") == 1
    second.closed()
    assert value(metrics, "streams_inflight") == 0
    assert recorder.calls == [{"a": "b"}, {}, b"m", "half closed", "closed", "closed"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (Status.OK, "OK"),
        (Status.FAILED_PRECONDITION, "FailedPrecondition"),
        (None, "Canceled"),
    ],
)
def test_streams_are_counted_by_how_they_ended_and_timed(status: Status | None, code: str) -> None:
    metrics, times = Metrics(), iter((10.0, 10.75))
    open_session = counted(Recorder().open, metrics.count_streams(), lambda: next(times))
    stream = RememberingStream()
    session = open_session(stream, {})
    if status is not None:
        stream.finish(status)
    session.closed()
    assert value(metrics, "streams_total", code=code) == 1
    assert value(metrics, "stream_duration_seconds_sum") == 0.75
    assert value(metrics, "stream_duration_seconds_bucket", le="1") == 1


def test_every_status_has_a_name() -> None:
    assert set(CODES) == set(Status)


def test_who_does_not_ask_for_it_has_none_of_it() -> None:
    assert value(Metrics(), "streams_inflight") is None
