"""Health messages against bytes put together by hand from the gRPC health protocol's definition."""

from __future__ import annotations

import pytest

from epp._pb import health_pb2
from tests.unit._pb.pairs import messages_of


def test_every_message_is_tested_here() -> None:
    present = messages_of(health_pb2.DESCRIPTOR.message_types_by_name.values())
    names = {"HealthCheckRequest", "HealthCheckResponse", "HealthListResponse"}
    assert {message.name for message in present} == names


@pytest.mark.parametrize(
    ("service", "data"),
    [
        pytest.param("", b"", id="whole server"),
        pytest.param("readiness", b"\x0a\x09readiness", id="named"),
    ],
)
def test_request(service: str, data: bytes) -> None:
    message = health_pb2.HealthCheckRequest(service=service)
    assert message.SerializeToString() == data
    assert health_pb2.HealthCheckRequest.FromString(data) == message


@pytest.mark.parametrize(
    ("status", "data"),
    [
        pytest.param(health_pb2.HealthCheckResponse.UNKNOWN, b"", id="unknown"),
        pytest.param(health_pb2.HealthCheckResponse.SERVING, b"\x08\x01", id="serving"),
        pytest.param(health_pb2.HealthCheckResponse.NOT_SERVING, b"\x08\x02", id="not serving"),
        pytest.param(
            health_pb2.HealthCheckResponse.SERVICE_UNKNOWN, b"\x08\x03", id="service unknown"
        ),
    ],
)
def test_response(status: health_pb2.HealthCheckResponse.ServingStatus, data: bytes) -> None:
    message = health_pb2.HealthCheckResponse(status=status)
    assert message.SerializeToString() == data
    assert health_pb2.HealthCheckResponse.FromString(data) == message


def test_list() -> None:
    serving = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
    message = health_pb2.HealthListResponse(statuses={"liveness": serving})
    data = b"\x0a\x0e\x0a\x08liveness\x12\x02\x08\x01"
    assert message.SerializeToString() == data
    assert health_pb2.HealthListResponse.FromString(data) == message
