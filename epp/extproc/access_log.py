"""The gateway's access log, for the light mode: token usage and who served, after the fact.

An entry is self-contained: what a decision wants remembered came back with it. Losing every entry
harms nothing but the figures, because no load is accounted here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from epp._pb import access_log_pb2 as pb
from epp._pb import token_usage_pb2 as ai
from epp.core.endpoint import authority
from epp.extproc import headers as names
from epp.extproc.transport.interfaces import (
    OpenSession,
    Services,
    Status,
    Stream,
)
from epp.payloads.usage import bounded_count

log = logging.getLogger(__name__)

METHOD: Final = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
TOKEN_USAGE: Final = "envoy.ai.token_usage"


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One finished request as the gateway saw it. Times are seconds, None where unknown."""

    request_id: str
    status: int
    served: str  # host:port; empty if no model server was reached
    attempts: int
    picked: str  # what the gateway was told; empty if it was told nothing
    instance: str  # of the picker that decided
    nonce: str
    model: str
    target_model: str
    flow: str
    priority: int
    duration_seconds: float | None
    first_byte_seconds: float | None
    response_bytes: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None


class Reader(Protocol):
    def logged(self, request: LoggedRequest) -> None: ...


def services(reader: Reader) -> Services:
    opener: OpenSession = lambda stream, _metadata: _LogSession(reader, stream)  # noqa: E731
    return {METHOD: opener}


class _LogSession:
    """One stream of one gateway worker; it stays open for as long as the gateway runs."""

    def __init__(self, reader: Reader, stream: Stream) -> None:
        self._reader = reader
        self._stream = stream

    def received(self, message: bytes) -> None:
        try:
            entries = pb.StreamAccessLogsMessage.FromString(message).http_logs.log_entry
        except DecodeError as error:
            self._stream.finish(Status.INVALID_ARGUMENT, f"not an access log message: {error}")
            return
        for entry in entries:
            self._reader.logged(read_entry(entry))

    def half_closed(self) -> None:
        self._stream.send(b"")  # an empty StreamAccessLogsResponse
        self._stream.finish()

    def closed(self) -> None:
        """Nothing is held."""


def read_entry(entry: pb.HTTPAccessLogEntry) -> LoggedRequest:
    common = entry.common_properties
    metadata = common.metadata.filter_metadata
    facts = metadata[names.OWN_NAMESPACE].fields if names.OWN_NAMESPACE in metadata else {}
    balancing = metadata[names.LB_NAMESPACE].fields if names.LB_NAMESPACE in metadata else {}

    def text(key: str) -> str:
        return facts[key].string_value if key in facts else ""

    usage = _usage(common)
    timed = common.HasField("duration")
    first = common.HasField("time_to_first_upstream_rx_byte")
    return LoggedRequest(
        request_id=entry.request.request_id or common.stream_id,
        status=entry.response.response_code.value,
        served=_address(common),
        attempts=common.upstream_request_attempt_count,
        picked=balancing[names.DESTINATION].string_value if names.DESTINATION in balancing else "",
        instance=text("instance"),
        nonce=text("nonce"),
        model=text("model"),
        target_model=text("target_model"),
        flow=text("flow"),
        priority=int(facts["priority"].number_value) if "priority" in facts else 0,
        duration_seconds=common.duration.ToMicroseconds() / 1e6 if timed else None,
        first_byte_seconds=(
            common.time_to_first_upstream_rx_byte.ToMicroseconds() / 1e6 if first else None
        ),
        response_bytes=entry.response.response_body_bytes,
        prompt_tokens=usage[0],
        completion_tokens=usage[1],
        cached_tokens=usage[2],
    )


def _address(common: pb.AccessLogCommon) -> str:
    if not common.HasField("upstream_remote_address"):
        return ""
    socket = common.upstream_remote_address.socket_address
    return authority(socket.address, socket.port_value) if socket.address else ""


def _usage(common: pb.AccessLogCommon) -> tuple[int | None, int | None, int | None]:
    """Prompt, completion and cached tokens."""
    if TOKEN_USAGE not in common.metadata.typed_filter_metadata:
        return None, None, None
    packed = common.metadata.typed_filter_metadata[TOKEN_USAGE].value
    try:
        usage = ai.TokenUsage.FromString(packed)
    except DecodeError:
        log.warning("token usage in an access log entry cannot be read")
        return None, None, None
    prompt = _count(usage.prompt_tokens.value) if usage.HasField("prompt_tokens") else None
    completed = usage.HasField("completion_tokens")
    completion = _count(usage.completion_tokens.value) if completed else None
    details = usage.prompt_tokens_details
    cached = _count(details.cached_tokens.value) if details.HasField("cached_tokens") else None
    return prompt, completion, cached


def _count(tokens: int) -> int | None:
    return tokens if bounded_count(tokens) >= 0 else None
