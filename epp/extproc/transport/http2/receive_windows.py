"""What the peer may still send, on the connection and on each stream (RFC 9113 section 5.2)."""

from __future__ import annotations

from epp.extproc.transport.http2 import frames
from epp.extproc.transport.http2.faults import ConnectionFault, ErrorCode
from epp.extproc.transport.http2.sender import Sender
from epp.extproc.transport.http2.settings import DEFAULT_WINDOW_BYTES, Limits
from epp.extproc.transport.http2.stream import CallStream


class ReceiveWindows:
    """Room is given back as bytes are taken up, unless the peer does not take what we have."""

    def __init__(self, limits: Limits, sender: Sender) -> None:
        self._limits = limits
        self._sender = sender
        self._window = DEFAULT_WINDOW_BYTES
        self._uncredited = 0  # of it used up, and not given back yet

    def announce(self) -> None:
        """The connection's window is not part of SETTINGS."""
        self._credit(self._limits.connection_window_bytes - DEFAULT_WINDOW_BYTES)

    def charge(self, length: int) -> None:
        """A DATA frame came, for whatever stream. Raises ConnectionFault."""
        self._window -= length
        if self._window < 0:
            text = "more than the connection's window"
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, text)
        self._uncredited += length
        self.give_back()

    def give_back(self) -> None:
        """Unless all streams together leave too much untaken."""
        if (
            self._uncredited * 2 > self._limits.connection_window_bytes
            and self._sender.unsent_bytes <= self._limits.max_unsent_bytes_of_all
        ):
            self._credit(self._uncredited)
            self._uncredited = 0

    def give_back_to(self, stream: CallStream) -> None:
        """To a stream that is open, unless its peer does not take what it has for it."""
        if (
            stream.uncredited * 2 > self._limits.stream_window_bytes
            and stream.unsent_bytes <= self._limits.max_unsent_bytes
            and not stream.remote_ended
            and not stream.reset
        ):
            self._sender.control(frames.window_update(stream.id, stream.uncredited))
            stream.receive_window += stream.uncredited
            stream.uncredited = 0

    def _credit(self, increment: int) -> None:
        if increment > 0:
            self._window += increment
            self._sender.control(frames.window_update(0, increment))
