"""One ext-proc stream: decode, step the exchange, ask the director, encode. Decides nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from epp.core.decision import Answer, Outcome, Placed, Waiting
from epp.core.refusal import Reason, Refused
from epp.director import Begun, Cause, Ending, Gaps
from epp.extproc.actions import Action, Begin, EndStream, Finish, FirstToken, Responding
from epp.extproc.codec import Codec
from epp.extproc.events import (
    Answered,
    Closed,
    Decided,
    Deferred,
    Event,
    HalfClosed,
    ReadingExpired,
    ResponseBody,
    TurnedAway,
)
from epp.extproc.exchange import Exchange, Limits
from epp.extproc.http_status import immediate
from epp.extproc.messages import MalformedMessage
from epp.extproc.order import OutOfTurn
from epp.extproc.switchboard import Switchboard
from epp.extproc.transport.interfaces import Metadata, Status, Stream
from epp.telemetry.trace_context import TracePart

log = logging.getLogger(__name__)

# Encoded beforehand, as it may be the encoding that fails.
_BUG: Final = Refused(Reason.INTERNAL, "the endpoint picker failed on this request")
_BUG_REPLY: Final = tuple(Codec({}, "", "").encode(immediate(_BUG)))


@dataclass(frozen=True, slots=True)
class SessionSettings:
    limits: Limits = Limits()
    instance: str = ""  # of this process, in the facts that come back in the access log
    nonce: str = ""  # secret of this process, in the same place


class ExtProcSession:
    """Implements the transport's `Session`, the switchboard's `Waiter`, and `BodyReader`."""

    __slots__ = (
        "_answering",
        "_awaits_body",
        "_begun",
        "_board",
        "_chunk_at",
        "_codec",
        "_exchange",
        "_gaps",
        "_handling_seconds",
        "_held",
        "_received_at",
        "_settings",
        "_stream",
    )

    def __init__(
        self, board: Switchboard, settings: SessionSettings, stream: Stream, metadata: Metadata
    ) -> None:
        self._board = board
        self._settings = settings
        self._stream = stream
        self._codec = Codec(metadata, settings.instance, settings.nonce)
        self._exchange = Exchange(settings.limits)
        self._begun: Begun | None = None
        self._held = False  # the begun request is not finished yet
        self._awaits_body = False
        self._received_at = 0.0  # the message that is dealt with
        self._answering = False  # a model server is
        self._handling_seconds = 0.0  # of our own time, for the messages of its response
        self._gaps: Gaps | None = None  # of the answer that is being streamed
        self._chunk_at = 0.0

    def received(self, message: bytes) -> None:
        start = self._received_at = self._board.now()
        try:
            event = self._codec.decode(message)
        except MalformedMessage as error:
            self._abort(Status.INVALID_ARGUMENT, str(error))
            return
        if event is None:
            return
        gaps = self._gaps
        if gaps is not None and isinstance(event, ResponseBody) and event.data:
            gaps.observe(start - self._chunk_at)
            self._chunk_at = start
        self._step(event, start)
        seconds = self._board.now() - start
        if self._answering:
            self._handling_seconds += seconds
        self._board.observer.spent(type(event), seconds)

    def half_closed(self) -> None:
        self._step(HalfClosed(), self._board.now())

    def closed(self) -> None:
        if self._awaits_body:
            self._awaits_body = False
            self._board.body_deadlines.leave(self)
        self._step(Closed(), self._board.now())

    def settle(self, outcome: Outcome) -> None:
        assert self._begun is not None
        self._begun.outcome = outcome
        now = self._board.now()
        try:
            self._count(self._begun, outcome, now)
        except Exception:
            log.exception("bug: a request that waited failed inside the picker")
            self._fail()
            return
        self._step(_event_of(self._begun, outcome), now)

    def body_expired(self) -> None:
        self._awaits_body = False
        if self._exchange.reading:
            self._step(ReadingExpired(), self._board.now())

    def _step(self, event: Event, now: float) -> None:
        """When performing an action fails, the rest is dropped but the accounting still ends."""
        try:
            for action in self._exchange.receive(event, now):
                if (perform := OURS.get(type(action))) is not None:
                    perform(self, action)
                    continue
                for message in self._codec.encode(action):
                    self._stream.send(message)
        except OutOfTurn as error:
            self._abort(Status.FAILED_PRECONDITION, f"out of turn: {error}")
        except Exception:
            log.exception("bug: a request failed inside the picker")
            self._fail()
        if self._exchange.reading and not self._awaits_body:
            self._awaits_body = True
            self._board.body_deadlines.enter(self)

    def _begin(self, action: Begin) -> None:
        if self._awaits_body:
            self._awaits_body = False
            self._board.body_deadlines.leave(self)
        board, arrival = self._board, action.arrival
        now = board.now()
        trace: TracePart | None = None
        if board.tracer is not None:
            trace = board.tracer.join(arrival.headers, now)
            if trace is not None and trace.recorded:
                arrival.laps = []
        self._begun = board.director.begin(arrival, now)
        self._begun.trace = trace
        self._held = True
        decided = board.now()
        board.observer.began(self._begun, decided - now)
        self._take(self._begun, self._begun.outcome, decided)

    def _responding(self, action: Responding) -> None:
        assert self._begun is not None
        self._answering = True
        director, now = self._board.director, self._board.now()
        made_room = director.responding(
            self._begun.facts, action.served, action.status, now, body_follows=action.body_follows
        )
        if made_room:
            self._board.something_changed()

    def _first_token(self, _action: FirstToken) -> None:
        assert self._begun is not None
        self._gaps = self._begun.gaps
        self._chunk_at = self._received_at
        if self._board.director.first_token(self._begun.facts, self._board.now()):
            self._board.something_changed()

    def _finish(self, action: Finish) -> None:
        ending = action.ending
        if self._answering:
            so_far = self._board.now() - self._received_at  # of the message that ended it
            ending.handling_seconds = self._handling_seconds + so_far
        self._release(ending)

    def _end_stream(self, _action: EndStream) -> None:
        self._stream.finish()

    def _take(self, begun: Begun, outcome: Outcome | Waiting, now: float) -> None:
        if isinstance(outcome, Waiting):
            self._board.wait(begun.facts, self)
            self._step(Deferred(outcome.deadline), now)
        else:
            self._count(begun, outcome, now)
            self._step(_event_of(begun, outcome), now)

    def _count(self, begun: Begun, outcome: Outcome, now: float) -> None:
        if isinstance(outcome, Placed):
            self._board.placed(outcome.decision)
        self._board.observer.settled(begun, outcome, now)

    def _fail(self) -> None:
        """A bug of ours: the client gets a 500 and no broken stream, and nothing stays held."""
        for message in _BUG_REPLY:
            self._stream.send(message)
        self._abort(Status.OK, "")

    def _abort(self, status: Status, text: str) -> None:
        self._stream.finish(status, text)
        ending = Ending(Cause.CLIENT_DISCONNECT)  # if the exchange has given out its own before
        for action in self._exchange.receive(Closed(), self._board.now()):
            if isinstance(action, Finish):
                ending = action.ending
        self._release(ending)

    def _release(self, ending: Ending) -> None:
        if self._held:
            assert self._begun is not None
            self._held = False
            self._board.finish(self._begun, ending)


# What is done here; every other action is a message for the gateway.
OURS: Final[dict[type[Action], Callable[..., None]]] = {
    Begin: ExtProcSession._begin,
    Responding: ExtProcSession._responding,
    FirstToken: ExtProcSession._first_token,
    Finish: ExtProcSession._finish,
    EndStream: ExtProcSession._end_stream,
}


def _event_of(begun: Begun, outcome: Outcome) -> Event:
    match outcome:
        case Placed():
            return Decided(begun, outcome)
        case Answer():
            return Answered(outcome)
        case Refused():
            return TurnedAway(outcome)
