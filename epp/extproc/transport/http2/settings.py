"""SETTINGS of both sides (RFC 9113 section 6.5) and the limits that bound what a peer can cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from epp.extproc.transport.http2.faults import ConnectionFault, ErrorCode
from epp.extproc.transport.http2.frames import (
    DEFAULT_FRAME_BYTES,
    MAX_FRAME_BYTES,
    MAX_WINDOW,
    SETTING,
)

DEFAULT_WINDOW_BYTES: Final = 65_535

HEADER_TABLE_SIZE: Final = 0x1
ENABLE_PUSH: Final = 0x2
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
MAX_FRAME_SIZE: Final = 0x5
MAX_HEADER_LIST_SIZE: Final = 0x6


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one connection. What goes beyond ends the stream or the connection, never the process."""

    max_receive_bytes: int = 64 << 20  # of one message, decompressed
    max_send_bytes: int = 1 << 31  # of one message
    max_concurrent_streams: int = 20_000
    max_header_bytes: int = 32 << 10  # of a request's field section, with 32 a field (6.5.2)
    max_header_frames: int = 16  # HEADERS and CONTINUATION of one request
    stream_window_bytes: int = 1 << 20  # that a peer may send ahead on one stream; 65 535 at least
    connection_window_bytes: int = 64 << 20  # that it may send ahead on all; 65 535 at least
    max_unsent_bytes: int = 1 << 20  # of one stream; beyond it no more is read from that stream
    max_unsent_bytes_of_all: int = 64 << 20  # of the streams together; then nothing is read
    max_paused_bytes: int = 512 << 10  # of answers without messages, while the socket is full
    control_burst: int = 10_000  # frames that carry no request: pings, settings, resets, empty ones
    control_per_second: int = 1_000
    preface_seconds: float = 10.0  # from the connection to the first SETTINGS
    keepalive_seconds: float = 60.0  # of silence, then a ping
    keepalive_timeout_seconds: float = 20.0  # for its answer
    stall_seconds: float = 120.0  # in which the peer takes nothing of what a stream has for it

    def announced(self) -> dict[int, int]:
        """What our SETTINGS say."""
        return {
            MAX_CONCURRENT_STREAMS: self.max_concurrent_streams,
            INITIAL_WINDOW_SIZE: self.stream_window_bytes,
            MAX_HEADER_LIST_SIZE: self.max_header_bytes,
        }


@dataclass(slots=True)
class PeerSettings:
    """What binds our sending. We keep no dynamic table when encoding, so its size is no matter."""

    initial_window: int = DEFAULT_WINDOW_BYTES
    max_frame_bytes: int = DEFAULT_FRAME_BYTES

    def apply(self, payload: bytes) -> None:
        """Raises ConnectionFault. Unknown settings are ignored (section 6.5.2)."""
        if len(payload) % SETTING.size:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS with half a setting")
        for name, value in SETTING.iter_unpack(payload):
            if name == INITIAL_WINDOW_SIZE:
                if value > MAX_WINDOW:
                    text = f"SETTINGS_INITIAL_WINDOW_SIZE of {value}"
                    raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, text)
                self.initial_window = value
            elif name == MAX_FRAME_SIZE:
                if not DEFAULT_FRAME_BYTES <= value <= MAX_FRAME_BYTES:
                    text = f"SETTINGS_MAX_FRAME_SIZE of {value}"
                    raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, text)
                self.max_frame_bytes = value
            elif name == ENABLE_PUSH and value > 1:
                text = f"SETTINGS_ENABLE_PUSH of {value}"
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, text)
