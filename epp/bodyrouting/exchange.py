"""One request as the gateway shows it to a body router: events in, actions out, no I/O, no clock.

In full duplex the answer to the headers is held until the fields are found, which may be long
before the body ends; from then on the body flows. Once the request has gone on we end the stream,
as the response is none of our business. Only where the response comes in full duplex the stream
stays: a piece of it that is on its way to us when we end would be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum, auto
from typing import Final

from epp.bodyrouting.actions import (
    Action,
    AnswerRequestBody,
    AnswerRequestHeaders,
    Note,
    Outcome,
    Refuse,
)
from epp.bodyrouting.basemodels import BaseModels
from epp.bodyrouting.events import Event, Expired, RequestHeaders, ResponseHeaders
from epp.bodyrouting.fields import FieldScanner, State
from epp.bodyrouting.reading import note_of
from epp.bodyrouting.settings import RoutingSettings
from epp.core.refusal import Reason, Refused
from epp.extproc.actions import (
    AnswerResponseBody,
    AnswerResponseHeaders,
    AnswerTrailers,
    EndStream,
    Phase,
    SendBody,
)
from epp.extproc.events import (
    BodyMode,
    Closed,
    HalfClosed,
    RequestBody,
    RequestTrailers,
    ResponseBody,
    ResponseTrailers,
)
from epp.extproc.order import OutOfTurn

FULL: Final = BodyMode.FULL_DUPLEX_STREAMED
# Where a body comes as one message, after the answer to the headers.
WHOLE: Final = (BodyMode.BUFFERED, BodyMode.BUFFERED_PARTIAL)

SMALL_PIECE_BYTES: Final = 1024

# Media that are no JSON, whatever their bytes are: not worth making a gateway buffer them.
OPAQUE_MEDIA: Final = ("multipart/", "audio/", "image/", "video/", "application/grpc")


class Progress(IntEnum):
    IDLE = auto()
    READING = auto()  # the fields are not settled, and the gateway waits
    PASSING = auto()  # in full duplex: the headers are answered and the body flows
    DONE = auto()  # with the request


class BodyExchange:
    """Call `receive` for every event; perform what it returns, in order."""

    __slots__ = (
        "_base_models",
        "_held",
        "_held_bytes",
        "_note",
        "_note_is_owed",
        "_request",
        "_responding",
        "_scanner",
        "_settings",
        "progress",
    )

    def __init__(self, settings: RoutingSettings, base_models: Callable[[], BaseModels]) -> None:
        self.progress = Progress.IDLE
        self._settings = settings
        self._base_models = base_models
        self._request = RequestHeaders("")
        self._scanner = FieldScanner(settings.names())
        self._held: list[bytes | bytearray] = []
        self._held_bytes = 0
        self._note = Note(Outcome.ABANDONED)
        self._note_is_owed = False
        self._responding = False

    @property
    def open(self) -> bool:
        """Whether the request's body is still on its way."""
        return self.progress in (Progress.READING, Progress.PASSING)

    def receive(self, event: Event) -> list[Action]:
        """Raises OutOfTurn; a `Closed` is still owed then."""
        return HANDLERS[type(event)](self, event)

    def fail(self) -> list[Action]:
        """After a bug: what is still owed for the books."""
        return self._end_with(Note(Outcome.FAILED))

    # The request.

    def _begin(self, event: RequestHeaders) -> list[Action]:
        if self.progress is not Progress.IDLE or self._responding:
            raise OutOfTurn("request headers again")
        self._request = event
        self._note_is_owed = True
        self.progress = Progress.READING
        if event.end_of_stream:
            return [AnswerRequestHeaders(), *self._finish(Note(Outcome.NO_BODY))]
        if not _is_readable(event):
            self._note = Note(Outcome.NOT_READ)
            if event.request_mode is FULL:  # the body comes to us, wanted or not
                return self._release()
            return [AnswerRequestHeaders(), *self._finish(self._note)]
        if event.request_mode is FULL:
            return []
        return [AnswerRequestHeaders(ask_for_body=event.request_mode not in WHOLE)]

    def _read_body(self, event: RequestBody) -> list[Action]:
        if self.progress is Progress.IDLE:
            raise OutOfTurn("a request body without headers")
        if self.progress is Progress.DONE:
            return []  # the end was sent on, so nothing may come after it
        if self._note.outcome is not Outcome.NOT_READ:
            self._scanner.feed(event.data)
            if self._scanner.contradicted:
                return self._contradict()
            if self._scanner.state is State.GIVEN_UP:
                detail = "the request body has too many members and brackets for its size"
                return self._refuse(Outcome.INTRICATE, Reason.BAD_REQUEST, detail)
        if self.progress is Progress.PASSING:
            return self._pass_on(event)
        if self._request.request_mode is FULL:
            return self._hold(event)
        self._read_fields()
        return [AnswerRequestBody(self._note.headers), *self._finish(self._note)]

    def _hold(self, event: RequestBody) -> list[Action]:
        if event.end_of_stream or self._scanner.settled:
            return [*self._release(), *self._pass_on(event)]
        self._held_bytes += len(event.data)
        limit = self._settings.max_held_bytes
        if self._held_bytes > limit:
            names = ", ".join(self._settings.names())
            detail = f"the first {limit} bytes of the request body do not have all of: {names}"
            return self._refuse(Outcome.TOO_LARGE, Reason.BODY_TOO_LARGE, detail)
        if len(event.data) >= SMALL_PIECE_BYTES:
            self._held.append(event.data)
        else:
            self._hold_small(event.data)
        return []

    def _hold_small(self, data: bytes) -> None:
        """Side by side: as objects of their own, single bytes would take a hundred times more."""
        last = self._held[-1] if self._held else b""
        if isinstance(last, bytearray):
            last += data
        elif data:
            self._held.append(bytearray(data))

    def _release(self) -> list[Action]:
        """In full duplex: answer the headers, and let go of what was held."""
        self.progress = Progress.PASSING
        self._read_fields()
        pieces = [SendBody(Phase.REQUEST, bytes(piece), False) for piece in self._held]
        self._held.clear()
        return [AnswerRequestHeaders(self._note.headers), *pieces]

    def _pass_on(self, piece: RequestBody) -> list[Action]:
        if piece.end_of_stream:
            send = SendBody(Phase.REQUEST, piece.data, end_of_stream=True)
            return [send, *self._finish(self._note)]
        # An empty piece that is not the last says nothing.
        return [SendBody(Phase.REQUEST, piece.data, end_of_stream=False)] if piece.data else []

    def _read_trailers(self, _event: RequestTrailers) -> list[Action]:
        if self.progress is Progress.IDLE:
            raise OutOfTurn("request trailers without headers")
        if self.progress is Progress.DONE:
            return []
        actions: list[Action] = []
        if self.progress is Progress.READING:
            if self._request.request_mode is FULL:  # with trailers the body never says its end
                actions += self._release()
            else:
                self._note = Note(Outcome.NO_BODY)
        return [*actions, AnswerTrailers(Phase.REQUEST), *self._finish(self._note)]

    def _expire(self, _event: Expired) -> list[Action]:
        if not self.open:
            return []
        if self._request.request_mode is not FULL and self._request.request_mode not in WHOLE:
            # A gateway that was asked for the body and does not send it has gone on long since.
            return self._finish(Note(Outcome.TIMED_OUT))
        detail = "the request body did not arrive in time"
        return self._refuse(Outcome.TIMED_OUT, Reason.BODY_TIMEOUT, detail)

    def _contradict(self) -> list[Action]:
        field = self._scanner.contradicted
        detail = f"the request body has `{field}` twice, with different values"
        return self._refuse(Outcome.CONTRADICTED, Reason.BAD_REQUEST, detail)

    def _refuse(self, outcome: Outcome, reason: Reason, detail: str) -> list[Action]:
        return [Refuse(Refused(reason, detail)), *self._end_with(Note(outcome)), EndStream()]

    def _read_fields(self) -> None:
        if self._note.outcome is not Outcome.NOT_READ:
            self._note = note_of(self._scanner, self._settings, self._base_models())

    # The response: in full duplex always seen, else only if it begins before we end the stream.

    def _respond(self, event: ResponseHeaders) -> list[Action]:
        self._responding = True
        if self.progress is Progress.IDLE:  # somebody before us answered, and the answer passes us
            self._request.response_mode = event.response_mode
        actions: list[Action] = [AnswerResponseHeaders()]
        if self.progress is Progress.READING:  # the gateway answers by itself
            actions += self._finish(Note(Outcome.ABANDONED))
        return actions

    def _echo_response(self, event: ResponseBody) -> list[Action]:
        if self._request.response_mode is FULL:
            return [SendBody(Phase.RESPONSE, event.data, event.end_of_stream)]
        return [AnswerResponseBody()]

    def _end_response(self, _event: ResponseTrailers) -> list[Action]:
        return [AnswerTrailers(Phase.RESPONSE)]

    # The end.

    def _half_close(self, _event: HalfClosed) -> list[Action]:
        """The gateway reads on, so an answer that is still owed is given first."""
        actions: list[Action] = []
        if self.progress is Progress.READING and self._request.request_mode is FULL:
            actions += self._release()
        actions += self._close(Closed())
        return [*actions, EndStream()]

    def _close(self, _event: Closed) -> list[Action]:
        return self._end_with(Note(Outcome.ABANDONED))

    def _finish(self, note: Note) -> list[Action]:
        """The request is through."""
        actions = self._end_with(note)
        stays = self._responding or self._request.response_mode is FULL
        return actions if stays else [*actions, EndStream()]

    def _end_with(self, note: Note) -> list[Action]:
        self.progress = Progress.DONE
        self._held.clear()
        if not self._note_is_owed:
            return []
        self._note_is_owed = False
        return [note]


HANDLERS: Final[Mapping[type[Event], Callable[..., list[Action]]]] = {
    RequestHeaders: BodyExchange._begin,
    RequestBody: BodyExchange._read_body,
    RequestTrailers: BodyExchange._read_trailers,
    ResponseHeaders: BodyExchange._respond,
    ResponseBody: BodyExchange._echo_response,
    ResponseTrailers: BodyExchange._end_response,
    Expired: BodyExchange._expire,
    HalfClosed: BodyExchange._half_close,
    Closed: BodyExchange._close,
}


def _is_readable(event: RequestHeaders) -> bool:
    return (
        event.method == "POST"
        and event.content_encoding.strip().lower() in ("", "identity")
        and not event.content_type.strip().lower().startswith(OPAQUE_MEDIA)
    )
