from __future__ import annotations

import pytest

from epp._pb import health_pb2 as pb
from epp.extproc.health import EXT_PROC_SERVICE, Health
from epp.extproc.transport.interfaces import Session, Status
from tests.helpers.session import RememberingStream

SERVICE = "/grpc.health.v1.Health/"
SERVING, NOT_SERVING = pb.HealthCheckResponse.SERVING, pb.HealthCheckResponse.NOT_SERVING


def call(health: Health, method: str, service: str = "") -> tuple[Session, RememberingStream]:
    stream = RememberingStream()
    session = health.services()[SERVICE + method](stream, {})
    session.received(pb.HealthCheckRequest(service=service).SerializeToString())
    return session, stream


def statuses(stream: RememberingStream) -> list[int]:
    return [pb.HealthCheckResponse.FromString(message).status for message in stream.sent]


@pytest.mark.parametrize("ready", [False, True])
@pytest.mark.parametrize("service", ["", "readiness", EXT_PROC_SERVICE, "inference-extension"])
def test_readiness(service: str, ready: bool) -> None:
    health = Health()
    health.set_ready(ready)
    _, stream = call(health, "Check", service)
    assert statuses(stream) == [SERVING if ready else NOT_SERVING]
    assert stream.status == (Status.OK, "")


def test_liveness_does_not_depend_on_anything() -> None:
    assert statuses(call(Health(), "Check", "liveness")[1]) == [SERVING]


def test_an_unknown_service_is_not_found_by_check_and_unknown_to_watch() -> None:
    _, checked = call(Health(), "Check", "no-such")
    assert checked.status is not None
    assert checked.status[0] is Status.NOT_FOUND
    _, watched = call(Health(), "Watch", "no-such")
    assert statuses(watched) == [pb.HealthCheckResponse.SERVICE_UNKNOWN]


def test_a_watcher_is_told_of_changes_until_it_leaves() -> None:
    health = Health()
    session, stream = call(health, "Watch")
    health.set_ready(True)
    health.set_ready(True)
    health.set_ready(False)
    session.closed()
    health.set_ready(True)
    assert statuses(stream) == [NOT_SERVING, SERVING, NOT_SERVING]


ELECTION = [
    # service, ready, leading, status
    ("liveness", False, False, SERVING),
    ("", True, True, SERVING),
    ("readiness", True, True, SERVING),
    (EXT_PROC_SERVICE, True, True, SERVING),
    ("", True, False, NOT_SERVING),
    ("readiness", True, False, NOT_SERVING),
    (EXT_PROC_SERVICE, True, False, NOT_SERVING),
    ("readiness", False, True, NOT_SERVING),
    ("inference-extension", True, True, pb.HealthCheckResponse.SERVICE_UNKNOWN),
    ("no-such", True, True, pb.HealthCheckResponse.SERVICE_UNKNOWN),
]


@pytest.mark.parametrize(("service", "ready", "leading", "expected"), ELECTION)
def test_with_an_election_only_the_leader_is_ready(
    service: str, ready: bool, leading: bool, expected: int
) -> None:
    health = Health(elects=True)
    health.set_ready(ready)
    health.set_leading(leading)
    assert health.ready is (ready and leading)
    _, checked = call(health, "Check", service)
    assert statuses(checked) == [expected]
    assert checked.status == (Status.OK, "")
    _, watched = call(health, "Watch", service)
    assert statuses(watched) == [expected]


def test_a_watcher_hears_of_a_lost_and_a_won_election() -> None:
    health = Health(elects=True)
    health.set_ready(True)
    _, stream = call(health, "Watch", "readiness")
    health.set_leading(True)
    health.set_leading(False)
    assert statuses(stream) == [NOT_SERVING, SERVING, NOT_SERVING]


def test_with_an_election_the_list_names_the_three_services() -> None:
    _, stream = call(Health(elects=True), "List")
    listed = pb.HealthListResponse.FromString(stream.sent[0]).statuses
    assert set(listed) == {"liveness", "readiness", "", EXT_PROC_SERVICE}


def test_the_list_names_every_service() -> None:
    _, stream = call(Health(), "List")
    listed = pb.HealthListResponse.FromString(stream.sent[0]).statuses
    assert listed["liveness"].status == SERVING
    assert listed["readiness"].status == NOT_SERVING


@pytest.mark.parametrize("method", ["Check", "Watch"])
def test_a_call_without_a_request_or_with_garbage(method: str) -> None:
    for message in (None, b"\xff\xff"):
        stream = RememberingStream()
        session = Health().services()[SERVICE + method](stream, {})
        if message is None:
            session.half_closed()
        else:
            session.received(message)
        assert stream.status is not None
        assert stream.status[0] is Status.INVALID_ARGUMENT


def test_ready_is_who_listens_and_knows_the_pool() -> None:
    health = Health()
    _, stream = call(health, "Watch")
    health.set_pool_known(False)
    health.set_ready(True)
    assert not health.ready
    health.set_pool_known(True)
    assert health.ready
    health.set_pool_known(False)
    assert statuses(stream) == [NOT_SERVING, SERVING, NOT_SERVING]
