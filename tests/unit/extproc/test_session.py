from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Iterable
from itertools import count

import pytest
import uvloop

from epp._pb import ext_proc_pb2 as pb
from epp.core.decision import Endpoints, Lease
from epp.director import Begun, Ending
from epp.extproc.actions import Action, AnswerResponseHeaders, Immediate, SendBody
from epp.extproc.body_deadlines import BodyDeadlines
from epp.extproc.codec import Codec
from epp.extproc.events import Event
from epp.extproc.session import ExtProcSession
from epp.extproc.tracing import RequestTracer
from epp.extproc.transport.interfaces import Status
from epp.telemetry.instruments import Distribution
from epp.telemetry.spans import Span
from epp.telemetry.trace_context import ALL_IDS, Sampler, TracePart
from tests.helpers.build import an_endpoint
from tests.helpers.session import (
    Desk,
    Noted,
    RememberingStream,
    full_request,
    light_request,
    response,
)


async def test_a_whole_exchange() -> None:
    desk = Desk()
    session, stream = desk.open()
    for message in (*full_request(), *response()):
        session.received(message)
    session.half_closed()
    session.closed()
    assert stream.kinds == ["request_headers", "request_body", "response_headers", "response_body"]
    assert stream.status == (Status.OK, "")
    assert (desk.noted.began_count, len(desk.noted.outcomes), len(desk.noted.endings)) == (1, 1, 1)
    assert desk.noted.messages == 4
    assert desk.picker.ledger.leases_held == 0


class Measuring(Noted):
    """Has the gaps between chunks counted, as the real observer has."""

    def __init__(self) -> None:
        super().__init__()
        self.gaps = Distribution([-math.inf, 0.5, math.inf])
        self.seconds: list[float] = []

    def spent(self, stage: type[Event], seconds: float) -> None:
        self.seconds.append(seconds)

    def settled(self, begun: Begun, outcome: object, now: float) -> None:
        begun.gaps = self.gaps


def streamed(*chunks: bytes) -> list[bytes]:
    """Headers of an event stream, its chunks, and the end without another byte."""
    pairs = [(":status", b"200"), ("content-type", b"text/event-stream")]
    headers = pb.HeaderMap(headers=[pb.HeaderValue(key=k, raw_value=v) for k, v in pairs])
    bodies = [pb.HttpBody(body=data) for data in chunks]
    bodies.append(pb.HttpBody(end_of_stream=True))
    messages = [pb.ProcessingRequest(response_headers=pb.HttpHeaders(headers=headers))]
    messages += [pb.ProcessingRequest(response_body=body) for body in bodies]
    return [message.SerializeToString() for message in messages]


def play_at(desk: Desk, session: ExtProcSession, timed: Iterable[tuple[float, bytes]]) -> None:
    for at, message in timed:
        desk.now = at
        session.received(message)


async def test_gaps_are_between_chunks_that_carry_something() -> None:
    desk = Desk(noted=(noted := Measuring()))
    session, _ = desk.open()
    for message in full_request():
        session.received(message)
    chunks = streamed(b"data: 1\n\n", b"data: 2\n\n", b"", b"data: 3\n\n")
    play_at(desk, session, zip((1.0, 2.0, 2.25, 2.5, 4.25, 9.0), chunks, strict=True))
    session.closed()
    assert noted.gaps.counts == [1, 1]
    assert noted.gaps.sum == 2.25


async def test_an_answer_in_one_piece_has_no_gaps() -> None:
    desk = Desk(noted=(noted := Measuring()))
    session, _ = desk.open()
    for message in (*full_request(), *response()):
        session.received(message)
    session.closed()
    assert noted.gaps.counts == [0, 0]


async def test_the_time_for_a_response_is_that_of_all_its_messages() -> None:
    desk = Desk(noted=(noted := Measuring()))
    ticks = count()
    desk.board.now = lambda: float(next(ticks))  # every look at the clock takes a second
    session, _ = desk.open()
    for message in (*full_request(), *streamed(b"data: 1\n\n")):
        session.received(message)
        desk.board.now()  # what is between two messages does not count
    [ending] = noted.endings
    headers, chunk, end = noted.seconds[2:]
    assert headers + chunk < ending.handling_seconds <= headers + chunk + end


async def test_the_next_in_line_is_answered_when_one_ends() -> None:
    desk = Desk()
    first, _ = desk.open()
    waiting, stream = desk.open()
    for message in light_request():
        first.received(message)
    for message in light_request():
        waiting.received(message)
    assert stream.kinds == ["request_headers", None]  # go on, then a request for time
    first.closed()
    assert stream.kinds == ["request_headers", None, "request_body"]
    waiting.closed()
    assert desk.picker.ledger.leases_held == 0


async def test_a_long_line_of_half_closed_streams_does_not_recurse() -> None:
    desk = Desk()
    first, _ = desk.open()
    for message in full_request():
        first.received(message)
    line = [desk.open() for _ in range(3000)]
    for session, _ in line:
        for message in full_request():
            session.received(message)
        session.half_closed()  # it will end as soon as it is answered, which frees the place
    first.closed()
    assert all(stream.kinds[0] == "request_headers" for _, stream in line)
    assert all(stream.status == (Status.OK, "") for _, stream in line)
    assert desk.picker.ledger.leases_held == 0
    assert len(desk.board) == 0


async def test_the_timer_refuses_who_waited_long_enough() -> None:
    desk = Desk()
    loop = asyncio.get_running_loop()
    desk.board.now = loop.time
    first, _ = desk.open()
    waiting, stream = desk.open()
    for session in (first, waiting):
        for message in full_request():
            session.received(message)
    async with asyncio.timeout(5):
        await stream.ended.wait()
    assert stream.replies[0].immediate_response.status.code == 429
    waiting.closed()
    first.closed()


async def test_a_body_that_does_not_arrive_is_refused() -> None:
    desk = Desk()
    deadlines = BodyDeadlines(asyncio.get_running_loop().time, 0.01)
    desk.board.body_deadlines = deadlines
    session, stream = desk.open()
    session.received(full_request()[0])
    async with asyncio.timeout(5):
        await stream.ended.wait()
    assert stream.replies[0].immediate_response.status.code == 408
    assert not deadlines


async def test_no_deadline_outlives_its_body() -> None:
    desk = Desk()
    deadlines = desk.board.body_deadlines
    begun, _ = desk.open()
    gone, _ = desk.open()
    for session in (begun, gone):
        session.received(full_request()[0])
    assert len(deadlines) == 2
    for message in full_request()[1:]:
        begun.received(message)
    assert len(deadlines) == 1
    gone.closed()
    assert not deadlines
    begun.closed()


async def test_an_endpoint_is_looked_at_when_its_state_becomes_uncertain() -> None:
    desk = Desk()
    looked_at: list[str] = []
    desk.board._look_at = lambda endpoint: looked_at.append(endpoint.name)
    session, _ = desk.open()
    for message in full_request():
        session.received(message)
    assert looked_at == ["a"]  # it was idle: nobody has asked it lately
    [endpoint] = desk.picker.store.endpoints
    endpoint.load.requests = 5
    desk.board.placed(Endpoints((endpoint,)))
    assert looked_at == ["a"]  # a busy one is asked often anyway
    endpoint.load.waiting = 2
    desk.board.placed(Endpoints((endpoint,)))
    assert looked_at == ["a", "a"]
    prefiller = an_endpoint("p", requests=1)
    desk.board.placed(Endpoints((endpoint,), early_leases=(Lease(prefiller, 9, 9),)))
    assert looked_at == ["a", "a", "a", "p"]
    endpoint.load.requests = 1
    session.closed()


async def test_a_bug_of_ours_is_a_500_and_holds_nothing(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()

    def broken(_begun: object, _outcome: object, _now: float) -> None:
        raise ZeroDivisionError("planted")

    desk.noted.settled = broken  # type: ignore[method-assign]
    session, stream = desk.open()
    for message in full_request():
        session.received(message)
    assert stream.replies[-1].immediate_response.status.code == 500
    session.closed()
    assert desk.picker.ledger.leases_held == 0
    assert "planted" in caplog.text


@pytest.mark.parametrize("kind", [AnswerResponseHeaders, SendBody, Immediate])
async def test_a_reply_that_cannot_be_encoded_holds_nothing(
    kind: type[Action], monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = Codec.encode

    def broken(codec: Codec, action: Action) -> Iterable[bytes]:
        if isinstance(action, kind):
            raise ZeroDivisionError("planted")
        return encode(codec, action)

    monkeypatch.setattr(Codec, "encode", broken)
    desk = Desk()
    other, stream = desk.open()
    waiting, _ = desk.open()
    for session in (other, waiting):
        for message in full_request():
            session.received(message)
    desk.board.deliver(desk.picker.queue.close())
    for message in response():
        if stream.status is None:
            other.received(message)
    waiting.closed()
    other.closed()
    assert desk.picker.ledger.leases_held == 0
    assert len(desk.noted.endings) == desk.noted.began_count == 2


@pytest.mark.parametrize(
    ("message", "status"),
    [(b"\xff\xff", Status.INVALID_ARGUMENT), (response()[1], Status.FAILED_PRECONDITION)],
)
async def test_what_the_gateway_must_not_send_ends_the_stream(
    message: bytes, status: Status
) -> None:
    desk = Desk()
    session, stream = desk.open()
    session.received(message)
    assert stream.status is not None
    assert stream.status[0] is status
    session.closed()


CONVERSATIONS = {"full": [*full_request(), *response()], "light": [*light_request(), response()[0]]}


@pytest.mark.parametrize("mode", CONVERSATIONS)
@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize("waits", [False, True])
async def test_a_cancellation_at_any_position_releases_everything(
    mode: str, position: int, waits: bool
) -> None:
    desk = Desk()
    other, _ = desk.open()
    if waits:
        for message in full_request():
            other.received(message)
    session, stream = desk.open()
    for message in CONVERSATIONS[mode][:position]:
        if stream.status is None:
            session.received(message)
    session.closed()
    other.closed()
    assert desk.picker.ledger.leases_held == 0
    assert len(desk.picker.director) == 0
    assert len(desk.board) == 0
    assert len(desk.noted.endings) == desk.noted.began_count


def set_headers(stream: RememberingStream) -> dict[str, str]:
    common = stream.replies[-1].request_body.response
    pairs = [option.header for option in common.header_mutation.set_headers]
    return {pair.key: pair.raw_value.decode() for pair in pairs}


async def test_a_recorded_request_carries_its_trace_also_after_a_wait() -> None:
    written: list[tuple[Span, TracePart]] = []
    desk = Desk()
    desk.board.tracer = RequestTracer(
        Sampler(follows_parent=True, bound=ALL_IDS),
        random.Random(1).getrandbits,
        lambda root, part, _now: written.append((root, part)),
    )
    first, _ = desk.open()
    waiting, stream = desk.open()
    for session in (first, waiting):
        for message in light_request():
            session.received(message)
    assert written == []
    for session in (first, waiting):
        session.closed()
        root, part = written[-1]
        assert root.name == "gateway.request"
    assert set_headers(stream)["traceparent"] == f"00-{part.trace_id:032x}-{part.span_id:016x}-01"
    assert len({part.trace_id for _, part in written}) == 2
    [asked] = root.children
    assert [span.name for span in asked.children] == ["llm_d.epp.wait_in_queue"]


async def test_without_a_tracer_no_trace_begins() -> None:
    desk = Desk()
    session, stream = desk.open()
    for message in light_request():
        session.received(message)
    assert "traceparent" not in set_headers(stream)
    session.closed()


class Failing(Noted):
    """An observer with a bug, as none should have."""

    def __init__(self, broken: str) -> None:
        super().__init__()
        self.broken = broken

    def settled(self, begun: Begun, outcome: object, now: float) -> None:
        super().settled(begun, outcome, now)
        if self.broken == "settled" and len(self.outcomes) == 2:
            raise RuntimeError("cannot count this")

    def finished(self, begun: Begun, ending: Ending, now: float) -> None:
        super().finished(begun, ending, now)
        if self.broken == "finished":
            raise RuntimeError("cannot count this")


@pytest.mark.parametrize("broken", ["settled", "finished"])
async def test_a_bug_in_the_books_keeps_nobody_waiting(broken: str) -> None:
    desk = Desk()
    desk.board.observer = Failing(broken)
    streams = [desk.open() for _ in range(3)]
    for session, _ in streams:
        for message in full_request():
            session.received(message)
    (first, _), (second, told), (third, last) = streams
    first.closed()
    if broken == "settled":  # the one that it is about fails, and the next has its place
        assert told.kinds == ["immediate_response"]
    else:
        assert told.kinds == ["request_headers", "request_body"]
        second.closed()
    assert last.kinds == ["request_headers", "request_body"]
    third.closed()
    assert desk.picker.ledger.leases_held == 0
    assert len(desk.board) == 0


def test_the_loop_that_serves_takes_deadlines_that_have_come() -> None:
    """The desk's clock stands, so for the loop every deadline is long past."""

    async def serve() -> int:
        desk = Desk()
        streams = [desk.open() for _ in range(3)]
        for session, _ in streams:
            for message in full_request():
                session.received(message)
        waiting = len(desk.board)
        for session, _ in streams:
            session.closed()
        return waiting

    assert uvloop.run(serve()) == 2
