from __future__ import annotations

from epp._pb import access_log_pb2 as pb
from epp._pb import token_usage_pb2 as ai
from epp.extproc.access_log import METHOD, LoggedRequest, read_entry, services
from epp.extproc.transport.interfaces import Status
from tests.helpers.session import RememberingStream


def an_entry(*, ours: bool = True, usage: bool = True) -> pb.HTTPAccessLogEntry:
    entry = pb.HTTPAccessLogEntry()
    common = entry.common_properties
    common.stream_id = "r1"
    common.upstream_request_attempt_count = 2
    common.upstream_remote_address.socket_address.address = "fd00::1"
    common.upstream_remote_address.socket_address.port_value = 8000
    common.duration.FromMilliseconds(1500)
    common.time_to_first_upstream_rx_byte.FromMilliseconds(40)
    entry.response.response_code.value = 200
    entry.response.response_body_bytes = 99
    if ours:
        struct = common.metadata.filter_metadata["envoy.lb"]
        struct.update({"x-gateway-destination-endpoint": "10.0.0.1:80"})
        common.metadata.filter_metadata["epp"].update(
            {"nonce": "n", "instance": "i", "model": "m", "target_model": "t", "priority": 3}
        )
    if usage:
        counts = ai.TokenUsage()
        counts.prompt_tokens.value = 30
        counts.completion_tokens.value = 8
        counts.prompt_tokens_details.cached_tokens.value = 16
        packed = common.metadata.typed_filter_metadata["envoy.ai.token_usage"]
        packed.value = counts.SerializeToString()
    return entry


class Reader:
    def __init__(self) -> None:
        self.seen: list[LoggedRequest] = []

    def logged(self, request: LoggedRequest) -> None:
        self.seen.append(request)


def test_an_entry_says_all_that_is_needed() -> None:
    request = read_entry(an_entry())
    assert request.request_id == "r1"
    assert (request.status, request.served, request.attempts) == (200, "[fd00::1]:8000", 2)
    assert (request.picked, request.nonce, request.instance) == ("10.0.0.1:80", "n", "i")
    assert (request.model, request.target_model, request.priority) == ("m", "t", 3)
    assert (request.duration_seconds, request.first_byte_seconds) == (1.5, 0.04)
    assert (request.prompt_tokens, request.completion_tokens, request.cached_tokens) == (30, 8, 16)


def test_counts_that_no_request_has_are_unknown() -> None:
    entry, counts = an_entry(), ai.TokenUsage()
    counts.prompt_tokens.value = 30
    counts.completion_tokens.value = 2**32 - 1
    packed = entry.common_properties.metadata.typed_filter_metadata["envoy.ai.token_usage"]
    packed.value = counts.SerializeToString()
    request = read_entry(entry)
    assert (request.prompt_tokens, request.completion_tokens) == (30, None)


def test_an_entry_of_a_request_that_was_never_ours() -> None:
    request = read_entry(an_entry(ours=False, usage=False))
    assert (request.picked, request.nonce, request.prompt_tokens) == ("", "", None)
    assert read_entry(pb.HTTPAccessLogEntry()).served == ""


def test_usage_that_cannot_be_read_is_unknown() -> None:
    entry = an_entry()
    metadata = entry.common_properties.metadata
    metadata.typed_filter_metadata["envoy.ai.token_usage"].value = b"\xff\xff"
    assert read_entry(entry).prompt_tokens is None


def test_a_stream_of_messages_and_its_end() -> None:
    reader, stream = Reader(), RememberingStream()
    session = services(reader)[METHOD](stream, {})
    message = pb.StreamAccessLogsMessage()
    message.http_logs.log_entry.extend([an_entry(), an_entry()])
    session.received(message.SerializeToString())
    session.half_closed()
    assert len(reader.seen) == 2
    assert stream.status == (Status.OK, "")


def test_garbage_ends_the_stream() -> None:
    stream = RememberingStream()
    services(Reader())[METHOD](stream, {}).received(b"\xff\xff")
    assert stream.status is not None
    assert stream.status[0] is Status.INVALID_ARGUMENT
