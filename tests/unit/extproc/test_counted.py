from __future__ import annotations

from collections.abc import Mapping

from epp.extproc.counted import counted
from epp.extproc.transport.interfaces import Session, Stream
from epp.telemetry.instruments import Level
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


def test_the_gauge_goes_up_and_down_and_the_session_sees_everything() -> None:
    level, recorder = Level(), Recorder()
    open_session = counted(recorder.open, level.inc)
    first = open_session(RememberingStream(), {"a": "b"})
    second = open_session(RememberingStream(), {})
    assert level.value == 2
    first.received(b"m")
    first.half_closed()
    first.closed()
    assert level.value == 1
    second.closed()
    assert level.value == 0
    assert recorder.calls == [{"a": "b"}, {}, b"m", "half closed", "closed", "closed"]
