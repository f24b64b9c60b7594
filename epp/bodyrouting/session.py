"""One stream of a body router: decode, step the exchange, encode. Decides nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

from epp.bodyrouting.actions import Action, Note, Outcome, Refuse
from epp.bodyrouting.basemodels import BaseModels
from epp.bodyrouting.codec import BodyCodec
from epp.bodyrouting.events import Event, Expired
from epp.bodyrouting.exchange import BodyExchange
from epp.bodyrouting.metrics import BodyRouterMetrics
from epp.bodyrouting.settings import RoutingSettings
from epp.core.refusal import Reason, Refused
from epp.extproc.actions import EndStream
from epp.extproc.body_deadlines import BodyDeadlines
from epp.extproc.events import Closed, HalfClosed
from epp.extproc.messages import MalformedMessage
from epp.extproc.order import OutOfTurn
from epp.extproc.transport.interfaces import Metadata, Status, Stream

log = logging.getLogger(__name__)

# Encoded beforehand, as it may be the encoding that fails.
_BUG: Final = Refuse(Refused(Reason.INTERNAL, "the body router failed on this request"))
_BUG_REPLY: Final = tuple(BodyCodec(()).encode(_BUG))


class BodyRouter:
    """What all streams share. `open` is for a transport's services."""

    def __init__(
        self,
        settings: RoutingSettings,
        base_models: Callable[[], BaseModels],
        metrics: BodyRouterMetrics,
    ) -> None:
        self.settings = settings
        self.base_models = base_models
        self.metrics = metrics
        self.codec = BodyCodec(settings.headers())
        self.body_deadlines = BodyDeadlines(time.monotonic, settings.body_timeout_seconds)
        self.streams = 0  # open now

    def open(self, stream: Stream, _metadata: Metadata) -> BodySession:
        self.streams += 1
        return BodySession(self, stream)


class BodySession:
    """Implements the transport's `Session`, and `BodyReader`."""

    __slots__ = ("_awaits_body", "_exchange", "_router", "_spent_seconds", "_stream")

    def __init__(self, router: BodyRouter, stream: Stream) -> None:
        self._router = router
        self._stream = stream
        self._exchange = BodyExchange(router.settings, router.base_models)
        self._spent_seconds = 0.0
        self._awaits_body = False

    def received(self, message: bytes) -> None:
        start = time.perf_counter()
        try:
            event = self._router.codec.decode(message)
        except MalformedMessage as error:
            self._abort(Status.INVALID_ARGUMENT, str(error))
            return
        if event is not None:
            self._step(event, start)

    def half_closed(self) -> None:
        self._step(HalfClosed(), time.perf_counter())

    def closed(self) -> None:
        self._router.streams -= 1
        if self._awaits_body:
            self._awaits_body = False
            self._router.body_deadlines.leave(self)
        self._step(Closed(), time.perf_counter())

    def _step(self, event: Event, start: float) -> None:
        actions: list[Action] = []
        try:
            actions = self._exchange.receive(event)
            for action in actions:
                self._perform(action)
        except OutOfTurn as error:
            self._abort(Status.FAILED_PRECONDITION, f"out of turn: {error}")
            return
        except Exception:
            log.exception("bug: a request failed inside the body router")
            self._fail(actions)
            return
        self._spent_seconds += time.perf_counter() - start
        self._write_down(actions)
        self._follow_body()

    def _perform(self, action: Action) -> None:
        if isinstance(action, EndStream):
            self._stream.finish()
            return
        for message in self._router.codec.encode(action):
            self._stream.send(message)

    def _write_down(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if not isinstance(action, Note):
                continue
            self._router.metrics.note(action)
            self._router.metrics.processing.observe(self._spent_seconds)
            if log.isEnabledFor(logging.DEBUG):
                fields = {"outcome": action.outcome.value, "headers": dict(action.headers)}
                log.debug("request", extra=fields)

    def _follow_body(self) -> None:
        if self._exchange.open is self._awaits_body:
            return
        self._awaits_body = self._exchange.open
        if self._awaits_body:
            self._router.body_deadlines.enter(self)
        else:
            self._router.body_deadlines.leave(self)

    def body_expired(self) -> None:
        self._awaits_body = False
        self._step(Expired(), time.perf_counter())

    def _fail(self, dropped: Iterable[Action]) -> None:
        """A bug of ours: the client gets a 500 and no broken stream, and it is counted."""
        for message in _BUG_REPLY:
            self._stream.send(message)
        concluded = any(isinstance(action, Note) for action in dropped)
        self._write_down([Note(Outcome.FAILED)] if concluded else self._exchange.fail())
        self._stream.finish()

    def _abort(self, status: Status, text: str) -> None:
        """The gateway does not keep to the protocol."""
        self._stream.finish(status, text)
        self._write_down(self._exchange.receive(Closed()))
