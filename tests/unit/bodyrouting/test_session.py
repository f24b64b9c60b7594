from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from epp.bodyrouting.actions import Outcome
from epp.bodyrouting.basemodels import NO_BASE_MODELS, BaseModels
from epp.bodyrouting.metrics import BodyRouterMetrics
from epp.bodyrouting.session import BodyRouter, BodySession
from epp.bodyrouting.settings import RoutingSettings
from epp.extproc.transport.interfaces import Status
from tests.helpers import gateway
from tests.helpers.session import RememberingStream


def a_router(
    settings: RoutingSettings | None = None,
    base_models: Callable[[], BaseModels] = lambda: NO_BASE_MODELS,
) -> BodyRouter:
    return BodyRouter(settings or RoutingSettings(), base_models, BodyRouterMetrics())


def opened(router: BodyRouter) -> tuple[BodySession, RememberingStream]:
    stream = RememberingStream()
    return router.open(stream, {}), stream


def outcomes(router: BodyRouter) -> dict[str, float]:
    [family] = [f for f in router.metrics.registry.collect() if f.name == "bbr_requests"]
    return {sample.labels["outcome"]: sample.value for sample in family.samples if sample.value}


HEAD = gateway.request_headers(response_mode=gateway.NONE).SerializeToString()
BODY = gateway.request_body(gateway.BODY).SerializeToString()


async def test_a_request_is_answered_counted_and_its_stream_ended() -> None:
    router = a_router()
    session, stream = opened(router)
    assert router.streams == 1
    session.received(HEAD)
    session.received(BODY)
    assert stream.kinds == ["request_headers", "request_body"]
    assert stream.status == (Status.OK, "")
    assert outcomes(router) == {Outcome.SUCCESS: 1}
    session.half_closed()
    session.closed()
    assert router.streams == 0
    assert outcomes(router) == {Outcome.SUCCESS: 1}


async def test_a_client_that_leaves_early_is_counted() -> None:
    router = a_router()
    session, stream = opened(router)
    session.received(HEAD)
    session.closed()
    assert stream.sent == []
    assert outcomes(router) == {Outcome.ABANDONED: 1}


async def test_a_body_that_does_not_come_ends_in_a_408() -> None:
    router = a_router(RoutingSettings(body_timeout_seconds=0.01))
    session, stream = opened(router)
    session.received(HEAD)
    async with asyncio.timeout(10):
        await stream.ended.wait()
    [reply] = stream.replies
    assert reply.immediate_response.status.code == 408
    assert outcomes(router) == {Outcome.TIMED_OUT: 1}


async def test_the_timer_goes_with_the_request() -> None:
    router = a_router(RoutingSettings(body_timeout_seconds=0.01))
    session, stream = opened(router)
    session.received(HEAD)
    session.received(BODY)
    await asyncio.sleep(0.03)
    assert stream.kinds == ["request_headers", "request_body"]
    assert outcomes(router) == {Outcome.SUCCESS: 1}


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ([b"\xff\xff"], Status.INVALID_ARGUMENT),
        ([BODY], Status.FAILED_PRECONDITION),
        ([HEAD, HEAD], Status.FAILED_PRECONDITION),
        ([HEAD, b"\xff\xff"], Status.INVALID_ARGUMENT),
    ],
)
async def test_a_gateway_that_breaks_the_protocol_is_told(
    messages: list[bytes], status: Status
) -> None:
    router = a_router()
    session, stream = opened(router)
    for message in messages:
        session.received(message)
    assert stream.status is not None
    assert stream.status[0] is status
    session.closed()
    assert outcomes(router) == ({Outcome.ABANDONED: 1} if messages[0] == HEAD else {})


async def test_a_bug_of_ours_is_a_500_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> BaseModels:
        raise RuntimeError("a bug")

    router = a_router(base_models=broken)
    session, stream = opened(router)
    session.received(HEAD)
    session.received(BODY)
    [reply] = stream.replies
    assert reply.immediate_response.status.code == 500
    assert stream.status == (Status.OK, "")
    assert "bug" in caplog.text
    session.closed()
    assert outcomes(router) == {Outcome.FAILED: 1}


async def test_messages_that_ask_for_nothing_are_passed_over() -> None:
    session, stream = opened(a_router())
    session.received(b"")
    assert stream.sent == []
    assert stream.status is None
    session.closed()
