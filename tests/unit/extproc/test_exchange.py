from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.core.decision import Answer
from epp.core.refusal import Reason, Refused
from epp.director import Cause
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
    SendBody,
)
from epp.extproc.events import (
    Answered,
    BodyMode,
    Closed,
    Deferred,
    Event,
    HalfClosed,
    ReadingExpired,
    RequestBody,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
    TurnedAway,
)
from epp.extproc.exchange import HANDLERS, Exchange, Limits
from epp.extproc.order import EXPECTED, OutOfTurn, State
from tests.helpers.conversation import (
    BODY,
    BUFFERED,
    FULL,
    NONE,
    OTHER,
    PARTIAL,
    POD,
    REWRITTEN,
    STREAMED,
    decided,
    headers,
)

LIMITS = Limits(max_body_bytes=1000)


def an_exchange() -> Exchange:
    return Exchange(LIMITS)


def kinds(actions: Sequence[Action]) -> list[type[Action]]:
    return [type(action) for action in actions]


def play(exchange: Exchange, *script: object) -> list[Action]:
    """Alternate event and expected kinds of action. Returns the last actions."""
    actions: list[Action] = []
    for event, expected in zip(script[::2], script[1::2], strict=True):
        actions = exchange.receive(event, 1.0)  # type: ignore[arg-type]
        assert kinds(actions) == expected, event
    return actions


def forwarded(mode: BodyMode = FULL) -> Exchange:
    exchange = an_exchange()
    exchange.receive(headers(mode), 0.0)
    exchange.receive(RequestBody(BODY, True), 0.0)
    exchange.receive(decided(), 0.0)
    assert exchange.state is State.FORWARDED
    return exchange


# Full duplex.


def test_full_duplex_answers_headers_and_body_after_the_decision() -> None:
    play(
        an_exchange(),
        *(headers(), []),
        *(RequestBody(BODY[:10]), []),
        *(RequestBody(BODY[10:]), []),
        *(RequestBody(b"", True), [Begin]),
        *(decided(), [AnswerRequestHeaders, SendBody]),
        *(ResponseHeaders(200), [Responding, AnswerResponseHeaders]),
        *(ResponseBody(b"one"), [SendBody]),
        *(ResponseBody(b"", True), [SendBody, Finish]),
        *(HalfClosed(), [EndStream]),
        *(Closed(), []),
    )


def test_the_body_goes_on_as_it_came() -> None:
    exchange = an_exchange()
    exchange.receive(headers(), 0.0)
    [begin] = exchange.receive(RequestBody(BODY, True), 0.0)
    assert isinstance(begin, Begin)
    assert begin.arrival.body == BODY
    [answer, body] = exchange.receive(decided(), 0.0)
    assert isinstance(answer, AnswerRequestHeaders)
    assert answer.route is not None
    assert answer.route.destination == "10.0.0.1:8000"
    assert answer.route.set_headers == {"content-length": str(len(BODY))}
    assert body == SendBody(Phase.REQUEST, BODY, end_of_stream=True)


def test_an_empty_body_yields_one_empty_piece_and_no_length() -> None:
    exchange = an_exchange()
    exchange.receive(headers(), 0.0)
    exchange.receive(RequestBody(b"", True), 0.0)
    [answer, body] = exchange.receive(decided(b""), 0.0)
    assert isinstance(answer, AnswerRequestHeaders)
    assert answer.route is not None
    assert answer.route.set_headers == {}
    assert body == SendBody(Phase.REQUEST, b"", end_of_stream=True)


def test_trailers_end_the_body_and_are_answered_last() -> None:
    exchange = an_exchange()
    play(exchange, *(headers(), []), *(RequestBody(BODY), []), *(RequestTrailers(), [Begin]))
    actions = exchange.receive(decided(), 0.0)
    assert kinds(actions) == [AnswerRequestHeaders, SendBody, AnswerTrailers]
    assert actions[1] == SendBody(Phase.REQUEST, BODY, end_of_stream=False)


def test_trailers_that_come_while_waiting_are_answered_after_the_decision() -> None:
    play(
        an_exchange(),
        *(headers(), []),
        *(RequestBody(BODY, True), [Begin]),
        *(Deferred(9.0), []),  # the gateway has no message timeout here
        *(RequestTrailers(), []),
        *(decided(), [AnswerRequestHeaders, SendBody, AnswerTrailers]),
    )


def test_trailers_without_a_body() -> None:
    play(
        an_exchange(),
        *(headers(), []),
        *(RequestTrailers(), [Begin]),
        *(decided(b""), [AnswerRequestHeaders, AnswerTrailers]),
    )


def test_a_request_without_body_is_decided_from_its_headers() -> None:
    exchange = an_exchange()
    [begin] = play(exchange, headers(end_of_stream=True), [Begin])
    assert isinstance(begin, Begin)
    assert not begin.arrival.has_body
    play(exchange, decided(b""), [AnswerRequestHeaders])


def test_endpoints_are_listed_in_order_with_ipv6_in_brackets() -> None:
    exchange = an_exchange()
    exchange.receive(headers(end_of_stream=True), 0.0)
    [answer] = exchange.receive(decided(b"", POD, OTHER), 0.0)
    assert isinstance(answer, AnswerRequestHeaders)
    assert answer.route is not None
    assert answer.route.destination == "10.0.0.1:8000,[fd00::2]:8000"


def test_scores_are_told_when_asked_for() -> None:
    exchange = Exchange(Limits(emit_scores=True))
    exchange.receive(headers(end_of_stream=True), 0.0)
    event = decided(b"", POD)
    event.placed.record.candidates, event.placed.record.totals = (POD, OTHER), (2.0, 1.0)
    [answer] = exchange.receive(event, 0.0)
    assert isinstance(answer, AnswerRequestHeaders)
    assert answer.route is not None
    assert answer.route.scores == {"10.0.0.1:8000": 2.0, "[fd00::2]:8000": 1.0}


def test_a_generated_request_id_is_set() -> None:
    exchange = an_exchange()
    exchange.receive(headers(end_of_stream=True), 0.0)
    [answer] = exchange.receive(decided(b"", generated="made-up"), 0.0)
    assert isinstance(answer, AnswerRequestHeaders)
    assert answer.route is not None
    assert answer.route.set_headers == {"x-request-id": "made-up"}


def test_a_restored_model_name_changes_the_length_of_the_response() -> None:
    exchange = an_exchange()
    exchange.receive(headers(), 0.0)
    exchange.receive(RequestBody(BODY, True), 0.0)
    exchange.receive(decided(REWRITTEN, target="internal"), 0.0)
    actions = exchange.receive(ResponseHeaders(200, "application/json"), 0.0)
    assert actions[1] == AnswerResponseHeaders(drop_content_length=True)
    [body, _] = exchange.receive(ResponseBody(b'{"model":"internal"}', True), 0.0)
    assert body == SendBody(Phase.RESPONSE, b'{"model":"public"}', end_of_stream=True)


def test_response_trailers_end_the_response() -> None:
    play(
        forwarded(),
        *(ResponseHeaders(200), [Responding, AnswerResponseHeaders]),
        *(ResponseBody(b"x"), [SendBody]),
        *(ResponseTrailers(), [AnswerTrailers, Finish]),
    )


def test_the_first_bytes_of_a_streamed_answer_are_its_first_token() -> None:
    play(
        forwarded(),
        *(ResponseHeaders(200, "text/event-stream"), [Responding, AnswerResponseHeaders]),
        *(ResponseBody(b""), [SendBody]),
        *(ResponseBody(b"data: 1\n\n"), [SendBody, FirstToken]),
        *(ResponseBody(b"data: 2\n\n"), [SendBody]),
        *(ResponseBody(b"data: 3\n\n", True), [SendBody, Finish]),
    )


def test_an_answer_in_one_piece_has_no_first_token() -> None:
    play(
        forwarded(),
        *(ResponseHeaders(200, "application/json"), [Responding, AnswerResponseHeaders]),
        *(ResponseBody(b'{"id":'), [SendBody]),
        *(ResponseBody(b"1}", True), [SendBody, Finish]),
    )


def test_the_ending_says_what_was_seen() -> None:
    exchange = forwarded()
    exchange.receive(ResponseHeaders(200, "text/event-stream", served="10.0.0.9:1"), 2.0)
    exchange.receive(ResponseBody(b""), 2.5)
    exchange.receive(
        ResponseBody(b'data: {"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'), 3.0
    )
    [_, finish] = exchange.receive(ResponseBody(b"", True), 4.0)
    assert isinstance(finish, Finish)
    ending = finish.ending
    assert (ending.cause, ending.status, ending.streaming) == (Cause.NATURAL, 200, True)
    assert (ending.headers_at, ending.first_chunk_at, ending.completed_at) == (2.0, 3.0, 4.0)
    assert ending.served == "10.0.0.9:1"
    assert ending.usage is not None
    assert (ending.usage.prompt_tokens, ending.usage.completion_tokens) == (3, 2)


@pytest.mark.parametrize(("mode", "follows"), [(FULL, True), (BUFFERED, False)])
def test_whether_the_first_token_will_be_seen_is_told(mode: BodyMode, follows: bool) -> None:
    exchange = forwarded(mode)
    responding = exchange.receive(ResponseHeaders(200, "text/event-stream", served="s"), 1.0)[0]
    assert responding == Responding("s", 200, body_follows=follows)


# Light.


def test_light_answers_the_headers_first_and_puts_the_pick_on_the_body() -> None:
    exchange = an_exchange()
    [first] = play(exchange, headers(BUFFERED), [AnswerRequestHeaders])
    assert first == AnswerRequestHeaders(None)
    play(exchange, RequestBody(BODY, True), [Begin])
    [answer] = exchange.receive(decided(), 0.0)
    assert isinstance(answer, AnswerRequestBody)
    assert answer.replacement is None
    assert answer.route is not None
    assert answer.route.set_headers == {}
    assert answer.route.record is not None  # comes back in the access log
    play(exchange, ResponseHeaders(200), [Responding, AnswerResponseHeaders])
    [finish, _] = exchange.receive(HalfClosed(), 0.0)
    assert isinstance(finish, Finish)
    assert finish.ending.cause is Cause.NATURAL


def test_a_rewritten_body_is_replaced_with_its_length() -> None:
    exchange = an_exchange()
    exchange.receive(headers(BUFFERED), 0.0)
    exchange.receive(RequestBody(BODY, True), 0.0)
    [answer] = exchange.receive(decided(REWRITTEN, target="internal"), 0.0)
    assert isinstance(answer, AnswerRequestBody)
    assert answer.replacement == REWRITTEN
    assert answer.route is not None
    assert answer.route.set_headers == {"content-length": str(len(REWRITTEN))}


def test_a_buffered_body_with_trailers_does_not_say_end_of_stream() -> None:
    play(
        an_exchange(),
        *(headers(BUFFERED), [AnswerRequestHeaders]),
        *(RequestBody(BODY, False), [Begin]),
        *(RequestTrailers(), []),
        *(decided(), [AnswerRequestBody, AnswerTrailers]),
    )


def test_buffered_trailers_alone_carry_the_pick_in_the_metadata() -> None:
    exchange = an_exchange()
    play(exchange, *(headers(BUFFERED), [AnswerRequestHeaders]), *(RequestTrailers(), [Begin]))
    [answer] = exchange.receive(decided(b""), 0.0)
    assert isinstance(answer, AnswerTrailers)
    assert answer.route is not None


@pytest.mark.parametrize("mode", [BUFFERED, PARTIAL, STREAMED, NONE])
def test_waiting_asks_for_time_where_the_gateway_has_a_message_timeout(mode: BodyMode) -> None:
    exchange = an_exchange()
    exchange.receive(headers(mode), 0.0)
    if mode in (BUFFERED, PARTIAL):
        exchange.receive(RequestBody(BODY, True), 0.0)
    assert exchange.receive(Deferred(deadline=61.0), now=1.0) == [AskForTime(65.0)]


def test_a_body_that_the_gateway_cut_is_not_called_complete() -> None:
    exchange = an_exchange()
    exchange.receive(headers(PARTIAL), 0.0)
    [begin] = exchange.receive(RequestBody(BODY[:20], False), 0.0)
    assert isinstance(begin, Begin)
    assert not begin.arrival.complete


@pytest.mark.parametrize("mode", [STREAMED, NONE])
def test_other_modes_are_decided_from_the_headers(mode: BodyMode) -> None:
    exchange = an_exchange()
    [begin] = play(exchange, headers(mode), [Begin])
    assert isinstance(begin, Begin)
    assert (begin.arrival.has_body, begin.arrival.complete) == (True, False)
    play(exchange, decided(b""), [AnswerRequestHeaders])


def test_streamed_body_messages_are_let_through_also_if_they_come_early() -> None:
    play(
        an_exchange(),
        *(headers(STREAMED, STREAMED), [Begin]),
        *(RequestBody(b"early"), []),
        *(decided(b""), [AnswerRequestHeaders, AnswerRequestBody]),
        *(RequestBody(b"late", True), [AnswerRequestBody]),
        *(ResponseHeaders(200), [Responding, AnswerResponseHeaders]),
        *(ResponseBody(b"x", True), [AnswerResponseBody, Finish]),
    )


def test_mixed_buffered_request_and_full_response() -> None:
    play(
        an_exchange(),
        *(headers(BUFFERED, FULL), [AnswerRequestHeaders]),
        *(RequestBody(BODY, True), [Begin]),
        *(decided(), [AnswerRequestBody]),
        *(ResponseHeaders(200), [Responding, AnswerResponseHeaders]),
        *(ResponseBody(b"x", True), [SendBody, Finish]),
    )


# Refusals, answers and odd ends.


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.SATURATED, 429),
        (Reason.TTL_EXPIRED, 429),
        (Reason.NO_ENDPOINTS, 503),
        (Reason.SHUTTING_DOWN, 503),
        (Reason.BAD_REQUEST, 400),
        (Reason.INTERNAL, 500),
    ],
)
def test_a_refusal_is_an_immediate_answer_and_the_end(reason: Reason, status: int) -> None:
    exchange = an_exchange()
    play(exchange, *(headers(), []), *(RequestBody(BODY, True), [Begin]))
    actions = exchange.receive(TurnedAway(Refused(reason, "why", 2.2)), 0.0)
    assert kinds(actions) == [Immediate, Finish, EndStream]
    answer = actions[0]
    assert isinstance(answer, Immediate)
    assert answer.status == status
    assert answer.headers["x-llm-d-request-dropped-reason"] == reason.value
    assert answer.headers["retry-after"] == "3"
    assert b"why" in answer.body


def test_an_answer_of_our_own_goes_out_in_place_of_a_server() -> None:
    exchange = an_exchange()
    play(exchange, headers(end_of_stream=True), [Begin])
    actions = exchange.receive(Answered(Answer(200, {"a": "b"}, b"{}")), 0.0)
    assert kinds(actions) == [Immediate, Finish, EndStream]


def test_a_body_over_the_limit_is_refused_before_the_director_is_asked() -> None:
    exchange = an_exchange()
    actions = play(exchange, *(headers(), []), *(RequestBody(b"x" * 1001), [Immediate, EndStream]))
    assert isinstance(actions[0], Immediate)
    assert actions[0].status == 413


def test_a_body_that_never_ends_is_refused() -> None:
    exchange = an_exchange()
    actions = play(exchange, *(headers(), []), *(ReadingExpired(), [Immediate, EndStream]))
    assert isinstance(actions[0], Immediate)
    assert actions[0].status == 408


def test_the_gateways_own_answer_before_the_decision_gives_everything_back() -> None:
    exchange = an_exchange()
    play(exchange, *(headers(BUFFERED), [AnswerRequestHeaders]))
    play(exchange, *(ResponseHeaders(413), [AnswerResponseHeaders]))
    exchange = an_exchange()
    play(exchange, *(headers(), []), *(RequestBody(BODY, True), [Begin]))
    actions = play(exchange, *(ResponseHeaders(504), [Finish, AnswerResponseHeaders]))
    assert isinstance(actions[0], Finish)
    assert actions[0].ending.cause is Cause.GATEWAY_ANSWERED


@pytest.mark.parametrize(
    ("mode", "kind"),
    [(FULL, SendBody), (BodyMode.STREAMED, AnswerResponseBody)],
)
def test_an_answer_of_somebody_before_us_passes_as_it_is_sent(
    mode: BodyMode, kind: type[Action]
) -> None:
    """A filter that refuses a request shows us nothing but its refusal."""
    exchange = an_exchange()
    play(exchange, *(ResponseHeaders(401, response_mode=mode), [AnswerResponseHeaders]))
    actions = play(exchange, *(ResponseBody(b"no", True), [kind]))
    if kind is SendBody:
        assert actions == [SendBody(Phase.RESPONSE, b"no", True)]
    assert exchange.state is State.DONE
    play(exchange, *(HalfClosed(), [EndStream]))


def test_half_close_while_waiting_still_gets_its_answer() -> None:
    play(
        an_exchange(),
        *(headers(), []),
        *(RequestBody(BODY, True), [Begin]),
        *(HalfClosed(), []),
        *(decided(), [AnswerRequestHeaders, SendBody, Finish, EndStream]),
    )


def test_half_close_after_the_request_leaves_nothing_behind() -> None:
    actions = play(forwarded(), HalfClosed(), [Finish, EndStream])
    assert isinstance(actions[0], Finish)
    assert actions[0].ending.cause is Cause.CLIENT_DISCONNECT


def test_a_client_that_leaves_in_mid_answer_is_told_apart() -> None:
    exchange = forwarded()
    exchange.receive(ResponseHeaders(200), 0.0)
    exchange.receive(ResponseBody(b"x"), 0.0)
    [finish] = exchange.receive(Closed(), 0.0)
    assert isinstance(finish, Finish)
    assert finish.ending.cause is Cause.CLIENT_DISCONNECT


@pytest.mark.parametrize(
    ("so_far", "event"),
    [
        pytest.param([], RequestBody(b"x"), id="body-first"),
        pytest.param([], ResponseBody(b"x"), id="response-body-first"),
        pytest.param([headers()], headers(), id="headers-twice"),
        pytest.param([headers()], ResponseBody(b""), id="response-body-while-reading"),
    ],
)
def test_messages_out_of_turn(so_far: list[Event], event: Event) -> None:
    exchange = an_exchange()
    for earlier in so_far:
        exchange.receive(earlier, 0.0)
    with pytest.raises(OutOfTurn):
        exchange.receive(event, 0.0)


# Whatever comes.

EVENTS = st.sampled_from(
    [
        headers(),
        headers(end_of_stream=True),
        headers(BUFFERED),
        headers(STREAMED, STREAMED),
        headers(NONE),
        RequestBody(BODY[:9]),
        RequestBody(BODY, True),
        RequestTrailers(),
        ResponseHeaders(200),
        ResponseHeaders(500, end_of_stream=True),
        ResponseBody(b"x"),
        ResponseBody(b"", True),
        ResponseTrailers(),
        Deferred(5.0),
        decided(),
        TurnedAway(Refused(Reason.SATURATED, "full")),
        Answered(Answer(200, {}, b"")),
        ReadingExpired(),
        HalfClosed(),
    ]
)


@given(st.lists(EVENTS, max_size=14))
def test_in_any_order_every_begin_is_finished_once_and_replies_keep_their_order(
    events: list[Event],
) -> None:
    exchange = an_exchange()
    actions: list[Action] = []
    for event in events:
        try:
            actions += exchange.receive(event, 0.0)
        except OutOfTurn:
            break
    actions += exchange.receive(Closed(), 0.0)
    done = kinds(actions)
    assert done.count(Begin) == done.count(Finish) <= 1
    assert done.count(EndStream) <= 1 or events.count(HalfClosed()) > 0
    routed = [
        action
        for action in actions
        if isinstance(action, (AnswerRequestHeaders, AnswerRequestBody, AnswerTrailers))
        and getattr(action, "route", None) is not None
    ]
    assert len(routed) <= 1
    request_pieces = [a for a in actions if isinstance(a, SendBody) and a.phase is Phase.REQUEST]
    if request_pieces:
        assert done.index(AnswerRequestHeaders) < actions.index(request_pieces[0])


@given(st.lists(st.integers(1, len(BODY) - 1), max_size=5))
def test_where_a_body_is_cut_does_not_matter(cuts: list[int]) -> None:
    edges = [0, *sorted(set(cuts)), len(BODY)]
    exchange = an_exchange()
    exchange.receive(headers(), 0.0)
    actions: list[Action] = []
    for start, stop in pairwise(edges):
        actions = exchange.receive(RequestBody(BODY[start:stop], stop == len(BODY)), 0.0)
    [begin] = actions
    assert isinstance(begin, Begin)
    assert begin.arrival.body == BODY


FULL_CONVERSATION: list[Event] = [
    *(headers(), RequestBody(BODY), RequestTrailers(), Deferred(5.0), decided()),
    *(ResponseHeaders(200), ResponseBody(b"x"), ResponseTrailers()),
]
LIGHT_CONVERSATION: list[Event] = [
    *(headers(BUFFERED), RequestBody(BODY, True), Deferred(5.0), decided()),
    *(ResponseHeaders(200), HalfClosed()),
]


@pytest.mark.parametrize("end", [Closed(), HalfClosed()], ids=["cancel", "half-close"])
@pytest.mark.parametrize(
    ("conversation", "position"),
    [
        *((FULL_CONVERSATION, n) for n in range(len(FULL_CONVERSATION) + 1)),
        *((LIGHT_CONVERSATION, n) for n in range(len(LIGHT_CONVERSATION) + 1)),
    ],
)
def test_an_end_at_any_position_releases_everything(
    conversation: list[Event], position: int, end: Event
) -> None:
    exchange = an_exchange()
    actions: list[Action] = []
    for event in conversation[:position]:
        actions += exchange.receive(event, 0.0)
    actions += exchange.receive(end, 0.0)
    if exchange.state is State.DECIDING:  # a half-closed one still waits for its outcome
        actions += exchange.receive(TurnedAway(Refused(Reason.TTL_EXPIRED, "late")), 0.0)
    actions += exchange.receive(Closed(), 0.0)
    assert kinds(actions).count(Begin) == kinds(actions).count(Finish)
    assert exchange.state is State.DONE


def test_every_event_of_the_legal_order_has_a_handler() -> None:
    assert {kind for kinds_ in EXPECTED.values() for kind in kinds_} == set(HANDLERS)


@pytest.mark.parametrize(("mode", "shown"), [(FULL, True), (NONE, False)])
def test_the_director_is_told_whether_the_answer_comes_by_us(mode: BodyMode, shown: bool) -> None:
    exchange = Exchange(Limits())
    exchange.receive(headers(BUFFERED, mode), 0.0)
    [begin] = exchange.receive(RequestBody(BODY, True), 0.0)
    assert isinstance(begin, Begin)
    assert begin.arrival.shows_answer is shown
