from __future__ import annotations

import pytest

from epp.extproc.transport.http2 import frames
from epp.extproc.transport.http2.faults import ConnectionFault, ErrorCode
from epp.extproc.transport.http2.grpc_messages import MessageReader
from epp.extproc.transport.http2.receive_windows import ReceiveWindows
from epp.extproc.transport.http2.sender import Sender
from epp.extproc.transport.http2.settings import Limits
from epp.extproc.transport.http2.stream import CallStream

LIMITS = Limits(
    stream_window_bytes=1000,
    connection_window_bytes=100_000,
    max_unsent_bytes=500,
    max_unsent_bytes_of_all=5000,
)


def windows() -> tuple[ReceiveWindows, Sender, CallStream]:
    sender = Sender(1 << 20, lambda: None, lambda _: None, lambda _: None)
    stream = CallStream(1, sender, MessageReader("", 1000), receive_window=1000, send_window=1000)
    return ReceiveWindows(LIMITS, sender), sender, stream


def test_the_connections_window_is_announced() -> None:
    receiving, sender, _ = windows()
    receiving.announce()
    assert sender.take() == [frames.window_update(0, 100_000 - 65_535)]
    receiving.charge(50_000)
    assert sender.take() == []
    receiving.charge(1)
    assert sender.take() == [frames.window_update(0, 50_001)]


def test_more_than_the_connections_window_is_a_fault() -> None:
    receiving, sender, _ = windows()
    sender.unsent_bytes = 5001  # so nothing is given back
    receiving.charge(65_535)
    assert sender.take() == []
    with pytest.raises(ConnectionFault) as caught:
        receiving.charge(1)
    assert caught.value.code is ErrorCode.FLOW_CONTROL_ERROR
    sender.unsent_bytes = 5000
    receiving.give_back()
    assert sender.take() == [frames.window_update(0, 65_535)]


def test_a_stream_gets_its_window_back_once_half_of_it_is_used() -> None:
    receiving, sender, stream = windows()
    stream.receive_window, stream.uncredited = 500, 500
    receiving.give_back_to(stream)
    assert sender.take() == []
    stream.receive_window, stream.uncredited = 499, 501
    receiving.give_back_to(stream)
    assert sender.take() == [frames.window_update(1, 501)]
    assert (stream.receive_window, stream.uncredited) == (1000, 0)


@pytest.mark.parametrize("why", ["ended", "reset", "untaken"])
def test_a_stream_that_gets_nothing_back(why: str) -> None:
    receiving, sender, stream = windows()
    stream.uncredited = 900
    stream.remote_ended = why == "ended"
    stream.reset = why == "reset"
    stream.unsent_bytes = 501 if why == "untaken" else 500
    receiving.give_back_to(stream)
    assert sender.take() == []
    assert stream.uncredited == 900
