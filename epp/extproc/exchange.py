"""One HTTP exchange as the gateway shows it to us: events in, actions out, no I/O and no clock.

State lives only here. Replies of one direction always come in the order headers, body, trailers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, assert_never

from epp.core.decision import Placed
from epp.core.refusal import Reason, Refused
from epp.director import Arrival, Begun, Cause, Ending
from epp.extproc.actions import (
    Action,
    AnswerRequestBody,
    AnswerRequestHeaders,
    AnswerResponseBody,
    AnswerResponseHeaders,
    AnswerTrailers,
    AskForTime,
    Begin,
    EndStream,
    Finish,
    FirstToken,
    Immediate,
    Phase,
    Responding,
    Route,
    SendBody,
)
from epp.extproc.events import (
    Answered,
    BodyMode,
    Closed,
    Decided,
    Deferred,
    Event,
    HalfClosed,
    ReadingExpired,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
    TurnedAway,
)
from epp.extproc.http_status import immediate
from epp.extproc.order import EXPECTED, OutOfTurn, State
from epp.payloads.response import ResponseReader

FULL: Final = BodyMode.FULL_DUPLEX_STREAMED


# A request of trailers or body that the gateway has sent and that must be answered after the pick.
Owed = RequestHeaders | RequestBody | RequestTrailers


@dataclass(frozen=True, slots=True)
class Limits:
    max_body_bytes: int = 64 << 20  # of a request body that we gather ourselves
    ask_for_time_margin_seconds: float = 5.0  # beyond the end of the wait
    emit_scores: bool = False  # tell the gateway what every candidate scored


class Exchange:
    """Call `receive` for every event; perform what it returns, in order."""

    __slots__ = (
        "_asked",
        "_body_size",
        "_chunks",
        "_ending",
        "_half_closed",
        "_head",
        "_limits",
        "_owed",
        "_placed",
        "_reader",
        "_received_at",
        "_response_mode",
        "_saw_response_bytes",
        "_subset",
        "state",
    )

    def __init__(self, limits: Limits) -> None:
        self.state = State.IDLE
        self._limits = limits
        self._head: RequestHeaders | None = None
        self._received_at = 0.0
        self._response_mode = BodyMode.NONE
        self._subset: frozenset[str] | None = None
        self._chunks: list[bytes] = []
        self._body_size = 0
        self._owed: list[Owed] = []  # messages that the gateway waits for an answer to
        self._asked = False  # a `Begin` is out and no `Finish` yet
        self._placed: Placed | None = None
        self._reader: ResponseReader | None = None
        self._ending = Ending(Cause.CLIENT_DISCONNECT)
        self._saw_response_bytes = False
        self._half_closed = False

    @property
    def reading(self) -> bool:
        """Whether the request's body is still on its way."""
        return self.state is State.READING

    def receive(self, event: Event, now: float) -> list[Action]:
        """`now` is monotonic seconds. Raises OutOfTurn; a `Closed` is still owed then."""
        kind = type(event)
        if kind not in EXPECTED[self.state]:
            if kind is Closed:
                return self._close()
            if kind is HalfClosed:
                return self._half_close()
            raise OutOfTurn(f"{kind.__name__} while {self.state.name.lower()}")
        actions = HANDLERS[kind](self, event, now)
        if self._half_closed and self.state not in (State.DECIDING, State.READING):
            actions += self._leave()
        return actions

    # The request, until the director is asked.

    def _begin_reading(self, event: RequestHeaders, now: float) -> list[Action]:
        self._head = event
        self._received_at = now
        self._response_mode = event.response_mode
        self._subset = event.subset
        if event.end_of_stream or event.request_mode in (BodyMode.NONE, BodyMode.STREAMED):
            self._owed.append(event)
            return self._ask(b"", complete=event.end_of_stream)
        self.state = State.READING
        if event.request_mode is FULL:
            self._owed.append(event)
            return []
        return [AnswerRequestHeaders()]  # the body comes only after this answer

    def _read_body(self, event: RequestBody, _now: float) -> list[Action]:
        if self.state is not State.READING:
            return self._pass_body(event)
        assert self._head is not None
        if event.subset is not None:
            self._subset = event.subset
        self._body_size += len(event.data)
        if self._body_size > self._limits.max_body_bytes:
            detail = f"the request body is larger than {self._limits.max_body_bytes} bytes"
            return self._refuse(Refused(Reason.BODY_TOO_LARGE, detail))
        if self._head.request_mode is FULL:
            self._chunks.append(event.data)
            if not self._owed or not isinstance(self._owed[-1], RequestBody):
                self._owed.append(event)
            return self._ask(b"".join(self._chunks)) if event.end_of_stream else []
        # One message is the whole body. With trailers it does not say end of stream, so that is
        # evidence of a cut body in the partial mode only.
        self._owed.append(event)
        partial = self._head.request_mode is BodyMode.BUFFERED_PARTIAL
        return self._ask(event.data, complete=event.end_of_stream or not partial)

    def _pass_body(self, event: RequestBody) -> list[Action]:
        """A body message after the director was asked: only modes decided from headers have it."""
        if self.state is State.DECIDING:
            self._owed.append(event)
            return []
        return self._answer_body_message(event)

    def _answer_body_message(self, event: RequestBody) -> list[Action]:
        if not self._full_request:
            return [AnswerRequestBody()]
        if self._placed is None:
            return []  # its headers were never answered, so nothing may come after them
        return [SendBody(Phase.REQUEST, event.data, event.end_of_stream)]

    @property
    def _full_request(self) -> bool:
        return self._head is not None and self._head.request_mode is FULL

    def _read_trailers(self, event: RequestTrailers, _now: float) -> list[Action]:
        if self.state is State.READING:  # with trailers the body never says end of stream
            self._owed.append(event)
            return self._ask(b"".join(self._chunks))
        if self.state is State.DECIDING:
            self._owed.append(event)
            return []
        if self._full_request and self._placed is None:
            return []
        return [AnswerTrailers(Phase.REQUEST)]

    def _ask(self, body: bytes, *, complete: bool = True) -> list[Action]:
        assert self._head is not None
        self._chunks.clear()
        self.state = State.DECIDING
        self._asked = True
        arrival = Arrival(
            headers=self._head.headers,
            body=body,
            complete=complete,
            has_body=not self._head.end_of_stream,
            received_at=self._received_at,
            subset=self._subset,
            takes_lists=self._head.takes_lists,
            control=self._head.control,
            shows_answer=self._response_mode is FULL,
        )
        return [Begin(arrival)]

    # The decision.

    def _ask_for_time(self, event: Deferred, now: float) -> list[Action]:
        assert self._head is not None
        if self._head.request_mode is FULL:
            return []  # the gateway has no message timeout there
        seconds = event.deadline - now + self._limits.ask_for_time_margin_seconds
        return [AskForTime(seconds)]

    def _forward(self, event: Decided, _now: float) -> list[Action]:
        """Answer all that is owed, with the pick on the first answer that can carry it."""
        assert self._head is not None
        self.state = State.FORWARDED
        begun, placed = event.begun, event.placed
        self._placed = placed
        body = begun.body
        full = self._full_request
        replaced = begun.facts.target_model != begun.facts.model
        route: Route | None = self._route(begun, placed, sized=full or replaced)
        actions: list[Action] = []
        trailers = any(isinstance(message, RequestTrailers) for message in self._owed)
        for message in self._owed:
            match message:
                case RequestHeaders():
                    actions.append(AnswerRequestHeaders(route))
                case RequestBody() if full:
                    actions.append(SendBody(Phase.REQUEST, body, end_of_stream=not trailers))
                case RequestBody():
                    actions.append(AnswerRequestBody(route, body if replaced else None))
                case RequestTrailers():
                    actions.append(AnswerTrailers(Phase.REQUEST, route))
                case _:
                    assert_never(message)
            route, replaced = None, False
        self._owed.clear()
        begun.body = b""  # the exchange lives as long as the answer; the prompt need not
        return actions

    def _route(self, begun: Begun, placed: Placed, *, sized: bool) -> Route:
        decision = placed.decision
        set_headers = dict(decision.request_headers)
        if sized and begun.body:
            set_headers["content-length"] = str(len(begun.body))
        if begun.generated_request_id:
            set_headers["x-request-id"] = begun.generated_request_id
        light = self._response_mode is not FULL
        record, scores = placed.record, None
        if self._limits.emit_scores:
            pairs = zip(record.candidates, record.totals, strict=True)
            scores = {endpoint.authority: total for endpoint, total in pairs}
        return Route(
            decision.destination,
            set_headers,
            scores,
            record if light else None,
            None if begun.trace is None else begun.trace.sent,
        )

    def _answer(self, event: Answered, _now: float) -> list[Action]:
        answer = event.answer
        self._ending.cause = Cause.ANSWERED
        self._ending.status = answer.status
        reply = Immediate(answer.status, answer.headers, answer.body, "epp_answered")
        return [reply, *self._finish(), *self._leave()]

    def _turn_away(self, event: TurnedAway, _now: float) -> list[Action]:
        return self._refuse(event.refusal)

    def _expire_reading(self, _event: ReadingExpired, _now: float) -> list[Action]:
        detail = "the request body did not arrive in time"
        return self._refuse(Refused(Reason.BODY_TIMEOUT, detail))

    def _refuse(self, refusal: Refused) -> list[Action]:
        self._ending.cause = Cause.REFUSED
        reply = immediate(refusal)
        self._ending.status = reply.status
        return [reply, *self._finish(), *self._leave()]

    # The response.

    def _begin_response(self, event: ResponseHeaders, now: float) -> list[Action]:
        if self.state is State.DONE:
            return [AnswerResponseHeaders()]
        if self.state is State.IDLE:
            self._response_mode = event.response_mode
        undecided = self.state is not State.FORWARDED
        self.state = State.RESPONDING
        self._ending.status = event.status
        self._ending.served = event.served
        self._ending.headers_at = now
        self._owed.clear()
        if undecided:  # not a model server's answer: the gateway's own
            self._ending.cause = Cause.GATEWAY_ANSWERED
            return [*self._finish(), AnswerResponseHeaders()]
        assert self._placed is not None
        full = self._response_mode is FULL
        actions: list[Action] = [Responding(event.served, event.status, full)]
        reply = AnswerResponseHeaders(self._placed.decision.response_headers_of(event.served))
        if full:
            self._reader = ResponseReader(
                event.content_type,
                event.content_encoding,
                restore=(self._placed.record.target_model, self._placed.record.model),
            )
            self._ending.streaming = self._reader.streaming
            reply.drop_content_length = self._reader.changes_length
        actions.append(reply)
        if event.end_of_stream:
            actions += self._complete(now)
        return actions

    def _read_response(self, event: ResponseBody, now: float) -> list[Action]:
        actions: list[Action]
        first = False
        if event.data and not self._saw_response_bytes:
            self._saw_response_bytes = True
            self._ending.first_chunk_at = now
            first = self._asked and self._ending.streaming
        self._ending.response_bytes += len(event.data)
        if self._reader is not None:
            data = self._reader.feed(event.data, event.end_of_stream)
            actions = [SendBody(Phase.RESPONSE, data, event.end_of_stream)]
        elif self._response_mode is FULL:
            actions = [SendBody(Phase.RESPONSE, event.data, event.end_of_stream)]
        else:
            actions = [AnswerResponseBody()]
        if event.end_of_stream:
            actions += self._complete(now)
        elif first:
            actions.append(FirstToken())
        return actions

    def _end_response_with_trailers(self, _event: ResponseTrailers, now: float) -> list[Action]:
        held = self._reader.feed(b"", True) if self._reader is not None else b""
        actions: list[Action] = [SendBody(Phase.RESPONSE, held, False)] if held else []
        return [*actions, AnswerTrailers(Phase.RESPONSE), *self._complete(now)]

    def _complete(self, now: float) -> list[Action]:
        """The response has been seen to its end."""
        self._ending.completed_at = now
        if self._reader is not None:
            self._ending.usage = self._reader.usage
        if self._ending.cause is Cause.CLIENT_DISCONNECT:
            self._ending.cause = Cause.NATURAL
        self.state = State.DONE
        return self._finish()

    # The end.

    def _half_close(self) -> list[Action]:
        """The gateway reads on, so an answer that is still owed is given first."""
        self._half_closed = True
        return [] if self.state is State.DECIDING else self._leave()

    def _leave(self) -> list[Action]:
        actions = self._close()
        return [*actions, EndStream()]

    def _close(self) -> list[Action]:
        # Where the response body is not sent to us, the end of the stream is its end.
        unseen = self.state is State.RESPONDING and self._response_mode is BodyMode.NONE
        if unseen and self._ending.cause is Cause.CLIENT_DISCONNECT:
            self._ending.cause = Cause.NATURAL
        self.state = State.DONE
        self._chunks.clear()
        self._owed.clear()
        return self._finish()

    def _finish(self) -> list[Action]:
        if not self._asked:
            return []
        self._asked = False
        return [Finish(self._ending)]


# What each event of the legal order leads to.
HANDLERS: Final[dict[type[Event], Callable[..., list[Action]]]] = {
    RequestHeaders: Exchange._begin_reading,
    RequestBody: Exchange._read_body,
    RequestTrailers: Exchange._read_trailers,
    ReadingExpired: Exchange._expire_reading,
    Decided: Exchange._forward,
    Answered: Exchange._answer,
    TurnedAway: Exchange._turn_away,
    Deferred: Exchange._ask_for_time,
    ResponseHeaders: Exchange._begin_response,
    ResponseBody: Exchange._read_response,
    ResponseTrailers: Exchange._end_response_with_trailers,
}
