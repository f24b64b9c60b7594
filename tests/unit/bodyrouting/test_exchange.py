from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from epp.bodyrouting.exchange import SMALL_PIECE_BYTES, BodyExchange
from epp.bodyrouting.settings import (
    BASE_MODEL_HEADER,
    MODEL_HEADER,
    FieldHeader,
    RoutingSettings,
)
from epp.core.refusal import Reason
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

FULL = BodyMode.FULL_DUPLEX_STREAMED
BASES = MappingProxyType({"ad": "base", "base": "base"})
BODY = b'{"model":"m","prompt":"hi"}'
SENT = AnswerRequestHeaders({MODEL_HEADER: "m"})


def exchange(settings: RoutingSettings | None = None) -> BodyExchange:
    def base_models() -> BaseModels:
        return BASES

    return BodyExchange(settings or RoutingSettings(), base_models)


def played(*events: Event, settings: RoutingSettings | None = None) -> list[Action]:
    """All that it wanted done, the books apart."""
    return [a for a in everything(*events, settings=settings) if not isinstance(a, Note)]


def everything(*events: Event, settings: RoutingSettings | None = None) -> list[Action]:
    one = exchange(settings)
    return [action for event in events for action in one.receive(event)]


def note(actions: Sequence[Action]) -> Note:
    [found] = [action for action in actions if isinstance(action, Note)]
    return found


def head(mode: BodyMode = FULL, response_mode: BodyMode = BodyMode.NONE) -> RequestHeaders:
    return RequestHeaders("POST", request_mode=mode, response_mode=response_mode)


def request_piece(data: bytes, last: bool = False) -> SendBody:
    return SendBody(Phase.REQUEST, data, last)


# Full duplex.


def test_the_answer_to_the_headers_is_held_until_the_model_is_known() -> None:
    one = exchange()
    assert one.receive(head()) == []
    assert one.receive(RequestBody(b'{"prompt":"a","')) == []
    assert one.receive(RequestBody(b"mo")) == []
    assert one.receive(RequestBody(b'del":"m","x":')) == [
        SENT,
        request_piece(b'{"prompt":"a","mo'),
        request_piece(b'del":"m","x":'),
    ]
    assert one.receive(RequestBody(b"1")) == [request_piece(b"1")]
    *rest, end = one.receive(RequestBody(b"}", True))
    assert rest == [
        request_piece(b"}", True),
        Note(Outcome.SUCCESS, {MODEL_HEADER: "m"}, base_model_unknown=True),
    ]
    assert end == EndStream()


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        pytest.param(b'{"prompt":"hi"}', Outcome.MISSING, id="no-model"),
        pytest.param(b'{"model":""}', Outcome.UNREADABLE, id="empty"),
        pytest.param(b'{"model":{}}', Outcome.UNREADABLE, id="object"),
        pytest.param(b"model=m", Outcome.NOT_JSON, id="form"),
        pytest.param(b'{"prompt":"hi', Outcome.NOT_JSON, id="cut"),
        pytest.param(b"", Outcome.NOT_JSON, id="empty-body"),
    ],
)
@pytest.mark.parametrize("mode", [FULL, BodyMode.BUFFERED])
def test_a_body_without_a_model_goes_on_unchanged_without_the_header(
    body: bytes, outcome: Outcome, mode: BodyMode
) -> None:
    actions = everything(head(mode), RequestBody(body, True))
    assert note(actions).outcome is outcome
    sent = [action for action in actions if not isinstance(action, Note)]
    if mode is FULL:
        assert sent == [AnswerRequestHeaders(), request_piece(body, True), EndStream()]
    else:
        assert sent == [AnswerRequestHeaders(), AnswerRequestBody(), EndStream()]


def test_a_body_that_is_no_json_flows_at_once() -> None:
    assert played(head(), RequestBody(b"\x00\x01")) == [
        AnswerRequestHeaders(),
        request_piece(b"\x00\x01"),
    ]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"method": "PUT"}, id="put"),
        pytest.param({"method": "POST", "content_encoding": "gzip"}, id="gzip"),
        pytest.param({"method": "POST", "content_encoding": "zstd, gzip"}, id="two-encodings"),
        pytest.param({"method": "POST", "content_type": "multipart/form-data; x"}, id="multipart"),
        pytest.param({"method": "POST", "content_type": "Audio/wav"}, id="audio"),
    ],
)
def test_what_is_not_ours_to_read_goes_on_without_being_read(headers: dict[str, str]) -> None:
    full = everything(RequestHeaders(**headers), RequestBody(BODY), RequestBody(BODY, True))
    assert full == [
        AnswerRequestHeaders(),
        request_piece(BODY),
        request_piece(BODY, True),
        Note(Outcome.NOT_READ),
        EndStream(),
    ]
    for mode in (BodyMode.BUFFERED, BodyMode.NONE, BodyMode.STREAMED):  # not even sent to us
        light = everything(RequestHeaders(**headers, request_mode=mode))
        assert light == [AnswerRequestHeaders(), Note(Outcome.NOT_READ), EndStream()]


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_a_body_that_is_not_encoded_is_read(encoding: str) -> None:
    event = RequestHeaders("POST", "application/json", encoding)
    assert played(event, RequestBody(BODY, True))[0] == SENT


def test_a_body_with_trailers_never_says_its_end() -> None:
    assert played(head(), RequestBody(b'{"x":1,'), RequestTrailers()) == [
        AnswerRequestHeaders(),
        request_piece(b'{"x":1,'),
        AnswerTrailers(Phase.REQUEST),
        EndStream(),
    ]
    assert played(head(), RequestBody(BODY), RequestTrailers()) == [
        SENT,
        request_piece(BODY),
        AnswerTrailers(Phase.REQUEST),
        EndStream(),
    ]


def test_an_empty_piece_says_nothing_unless_it_is_the_last() -> None:
    events = [head(), RequestBody(b""), RequestBody(BODY), RequestBody(b""), RequestBody(b"", True)]
    assert played(*events) == [SENT, request_piece(BODY), request_piece(b"", True), EndStream()]


def test_nothing_is_sent_after_the_end() -> None:
    again = [RequestBody(BODY, True), RequestBody(b"", True)]
    assert played(head(), RequestBody(BODY, True), *again) == [
        SENT,
        request_piece(BODY, True),
        EndStream(),
    ]


def test_large_pieces_are_held_as_they_came_and_small_ones_side_by_side() -> None:
    large = b"x" * SMALL_PIECE_BYTES
    pieces = [b'{"x":"', large, large, b"a", b"b", large]
    events = [RequestBody(piece) for piece in pieces]
    assert played(head(), *events, RequestBody(b'","model":"m"}', True)) == [
        SENT,
        request_piece(b'{"x":"'),
        request_piece(large),
        request_piece(large),
        request_piece(b"ab"),
        request_piece(large),
        request_piece(b'","model":"m"}', True),
        EndStream(),
    ]


def test_single_bytes_are_held_as_one_object() -> None:
    one = exchange()
    one.receive(head())
    one.receive(RequestBody(b'{"x":"'))
    for _ in range(1000):
        one.receive(RequestBody(b"y"))
    assert [bytes(piece) for piece in one._held] == [b'{"x":"' + b"y" * 1000]


def test_no_more_is_held_than_the_limit() -> None:
    settings = RoutingSettings(max_held_bytes=10)
    one = exchange(settings)
    assert one.receive(head()) == []
    assert one.receive(RequestBody(b'{"x":"4567')) == []
    refuse, told, end = one.receive(RequestBody(b"8"))
    assert isinstance(refuse, Refuse)
    assert refuse.refusal.reason is Reason.BODY_TOO_LARGE
    assert "10 bytes" in refuse.refusal.detail
    assert told == Note(Outcome.TOO_LARGE)
    assert end == EndStream()


def test_a_body_that_flows_has_no_limit() -> None:
    settings = RoutingSettings(max_held_bytes=len(BODY))
    pieces = [RequestBody(b"x" * 100) for _ in range(3)]
    actions = played(head(), RequestBody(BODY[:-1] + b',"y":"'), *pieces, settings=settings)
    assert [type(action) for action in actions] == [AnswerRequestHeaders, *[SendBody] * 4]


@pytest.mark.parametrize("mode", [FULL, BodyMode.BUFFERED])
def test_two_models_in_one_body_are_refused(mode: BodyMode) -> None:
    actions = everything(head(mode), RequestBody(b'{"model":"cheap","model":"dear"}', True))
    refuse = next(action for action in actions if isinstance(action, Refuse))
    assert refuse.refusal.reason is Reason.BAD_REQUEST
    assert "`model` twice" in refuse.refusal.detail
    assert note(actions) == Note(Outcome.CONTRADICTED)
    assert actions[-1] == EndStream()
    assert not any(isinstance(action, AnswerRequestBody | SendBody) for action in actions)


def test_a_second_model_that_comes_late_is_refused_too() -> None:
    actions = everything(head(), RequestBody(b'{"model":"cheap",'), RequestBody(b'"model":"b"}'))
    assert [type(action) for action in actions] == [
        *(AnswerRequestHeaders, SendBody),
        *(Refuse, Note, EndStream),
    ]


# One message for the whole body.


def test_a_buffered_body_is_read_from_its_one_message() -> None:
    events = [head(BodyMode.BUFFERED), RequestBody(BODY, True)]
    assert played(*events) == [
        AnswerRequestHeaders(),
        AnswerRequestBody({MODEL_HEADER: "m"}),
        EndStream(),
    ]


@pytest.mark.parametrize("mode", [BodyMode.NONE, BodyMode.STREAMED])
def test_a_gateway_that_does_not_send_whole_bodies_is_asked_to(mode: BodyMode) -> None:
    assert played(head(mode)) == [AnswerRequestHeaders(ask_for_body=True)]
    assert played(head(mode), RequestBody(BODY, True))[1:] == [
        AnswerRequestBody({MODEL_HEADER: "m"}),
        EndStream(),
    ]


def test_a_gateway_that_does_not_do_as_asked_is_left_alone() -> None:
    actions = everything(head(BodyMode.NONE), Expired())
    assert actions[1:] == [Note(Outcome.TIMED_OUT), EndStream()]


@pytest.mark.parametrize("mode", [FULL, BodyMode.BUFFERED, BodyMode.NONE])
def test_a_request_without_a_body(mode: BodyMode) -> None:
    actions = everything(RequestHeaders("GET", end_of_stream=True, request_mode=mode))
    assert actions == [AnswerRequestHeaders(), Note(Outcome.NO_BODY), EndStream()]


def test_trailers_and_no_body() -> None:
    actions = everything(head(BodyMode.BUFFERED), RequestTrailers())
    assert actions == [
        AnswerRequestHeaders(),
        AnswerTrailers(Phase.REQUEST),
        Note(Outcome.NO_BODY),
        EndStream(),
    ]


# Base models, and other fields.


@pytest.mark.parametrize(
    ("model", "headers", "unknown"),
    [
        ("ad", {MODEL_HEADER: "ad", BASE_MODEL_HEADER: "base"}, False),
        ("base", {MODEL_HEADER: "base", BASE_MODEL_HEADER: "base"}, False),
        ("other", {MODEL_HEADER: "other"}, True),
    ],
)
def test_the_base_model_of_an_adapter(model: str, headers: dict[str, str], unknown: bool) -> None:
    actions = everything(head(), RequestBody(json.dumps({"model": model}).encode(), True))
    assert actions[0] == AnswerRequestHeaders(headers)
    assert note(actions) == Note(Outcome.SUCCESS, headers, base_model_unknown=unknown)


def test_the_base_model_alone() -> None:
    settings = RoutingSettings(fields=())
    actions = played(head(), RequestBody(b'{"model":"ad"}', True), settings=settings)
    assert actions[0] == AnswerRequestHeaders({BASE_MODEL_HEADER: "base"})


def test_fields_that_are_there_are_set_although_others_are_not() -> None:
    settings = RoutingSettings(
        fields=(FieldHeader("user", "x-user"), FieldHeader("tier", "x-tier")), base_model=False
    )
    body = RequestBody(b'{"tier":"gold","other":1}', True)
    actions = everything(head(), body, settings=settings)
    assert actions[0] == AnswerRequestHeaders({"x-tier": "gold"})
    assert note(actions) == Note(Outcome.MISSING, {"x-tier": "gold"}, missing=("user",))


# Ends.


@pytest.mark.parametrize(
    "events", [[head()], [head(), RequestBody(b'{"x":1')], [head(), RequestBody(BODY)]]
)
def test_a_client_that_leaves_is_counted_once(events: list[Event]) -> None:
    actions = everything(*events, Closed(), Closed())
    assert note(actions) == Note(Outcome.ABANDONED)
    assert actions[-1] == note(actions)


def test_a_stream_that_never_began_is_not_counted() -> None:
    assert everything(HalfClosed(), Closed()) == [EndStream()]


def test_a_gateway_that_sends_no_more_gets_its_answer() -> None:
    assert played(head(), RequestBody(b'{"x":1'), HalfClosed()) == [
        AnswerRequestHeaders(),
        request_piece(b'{"x":1'),
        EndStream(),
    ]


@pytest.mark.parametrize(
    "events", [[head()], [head(), RequestBody(BODY)], [head(BodyMode.BUFFERED)]]
)
def test_a_body_that_does_not_come_is_refused(events: list[Event]) -> None:
    actions = everything(*events, Expired(), Expired())
    refuse = next(action for action in actions if isinstance(action, Refuse))
    assert refuse.refusal.reason is Reason.BODY_TIMEOUT
    assert note(actions) == Note(Outcome.TIMED_OUT)
    assert actions[-1] == EndStream()


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([RequestBody(b"")], id="body-first"),
        pytest.param([RequestTrailers()], id="trailers-first"),
        pytest.param([head(), head()], id="headers-twice"),
    ],
)
def test_what_the_protocol_does_not_allow(events: list[Event]) -> None:
    with pytest.raises(OutOfTurn):
        everything(*events)


# The response.


@pytest.mark.parametrize("request_mode", [FULL, BodyMode.BUFFERED])
def test_a_response_in_full_duplex_passes_piece_by_piece(request_mode: BodyMode) -> None:
    events = [
        head(request_mode, FULL),
        RequestBody(BODY, True),
        ResponseHeaders(),
        ResponseBody(b"a"),
        ResponseBody(b"b", True),
        Closed(),
    ]
    actions = played(*events)
    assert EndStream() not in actions
    assert actions[-3:] == [
        AnswerResponseHeaders(),
        SendBody(Phase.RESPONSE, b"a", False),
        SendBody(Phase.RESPONSE, b"b", True),
    ]
    assert note(everything(*events)).outcome is Outcome.SUCCESS


def test_a_refusal_ends_the_stream_whatever_would_come() -> None:
    events = [head(FULL, FULL), RequestBody(b'{"model":"a","model":"b"}', True)]
    assert played(*events)[-1] == EndStream()


def test_an_answer_of_the_gateway_itself_passes_whole() -> None:
    events = [
        head(FULL, FULL),
        RequestBody(b'{"x":1'),
        ResponseHeaders(),
        ResponseBody(b"a"),
        ResponseBody(b"", True),
    ]
    assert played(*events) == [
        AnswerResponseHeaders(),
        SendBody(Phase.RESPONSE, b"a", False),
        SendBody(Phase.RESPONSE, b"", True),
    ]
    assert note(everything(*events)) == Note(Outcome.ABANDONED)


def test_an_answer_of_somebody_before_us_passes_as_it_is_sent() -> None:
    events = [ResponseHeaders(FULL), ResponseBody(b"a"), ResponseTrailers()]
    assert played(*events) == [
        AnswerResponseHeaders(),
        SendBody(Phase.RESPONSE, b"a", False),
        AnswerTrailers(Phase.RESPONSE),
    ]
    events = [ResponseHeaders(BodyMode.STREAMED), ResponseBody(b"a", True)]
    assert played(*events) == [AnswerResponseHeaders(), AnswerResponseBody()]


def test_a_model_server_that_answers_early_does_not_cut_the_request() -> None:
    events = [
        head(FULL, FULL),
        RequestBody(BODY[:-1]),
        ResponseHeaders(),
        RequestBody(b"}", True),
        ResponseBody(b"b"),
        ResponseTrailers(),
    ]
    assert played(*events) == [
        SENT,
        request_piece(BODY[:-1]),
        AnswerResponseHeaders(),
        request_piece(b"}", True),
        SendBody(Phase.RESPONSE, b"b", False),
        AnswerTrailers(Phase.RESPONSE),
    ]


def test_response_pieces_of_other_modes_are_answered() -> None:
    events = [head(FULL, BodyMode.STREAMED), ResponseHeaders(), ResponseBody(b"a", True)]
    assert played(*events) == [AnswerResponseHeaders(), AnswerResponseBody()]


# However the body is cut.

DOCUMENTS = st.dictionaries(
    st.sampled_from(["model", "x", "prompt"]),
    st.none() | st.text(max_size=8) | st.integers() | st.lists(st.integers(), max_size=3),
)
BODIES = (
    DOCUMENTS.map(lambda document: json.dumps(document).encode())
    | st.binary(max_size=20)
    | st.sampled_from([b'{"model":"a","model":"b"}', b'{"model":"a","x":[{}],"model":"a"}'])
)


@given(BODIES, st.lists(st.integers(0, 80), max_size=8), st.booleans(), st.booleans())
def test_any_chunking_gives_the_same_answer_and_passes_the_same_bytes(
    body: bytes, cuts: list[int], last_is_empty: bool, trailers: bool
) -> None:
    edges = [0, *sorted(min(at, len(body)) for at in cuts), len(body)]
    pieces = [body[a:b] for a, b in pairwise(edges)]
    events: list[Event] = [head(), *(RequestBody(piece) for piece in pieces)]
    if trailers:
        events.append(RequestTrailers())
    elif last_is_empty:
        events.append(RequestBody(b"", True))
    else:
        events[-1] = RequestBody(pieces[-1], True)
    actions = everything(*events)
    whole = everything(head(), RequestBody(body, True))
    assert note(actions) == note(whole)
    assert actions[-1] == EndStream()
    refused = any(isinstance(action, Refuse) for action in whole)
    assert any(isinstance(action, Refuse) for action in actions) == refused
    if refused:
        return
    answers = [action for action in actions if isinstance(action, AnswerRequestHeaders)]
    assert answers == whole[:1]
    assert actions[0] == answers[0]
    sent = [action for action in actions if isinstance(action, SendBody)]
    assert b"".join(piece.data for piece in sent) == body
    assert [piece.end_of_stream for piece in sent].count(True) == (0 if trailers else 1)
    if sent and not trailers:
        assert sent[-1].end_of_stream
    buffered = everything(head(BodyMode.BUFFERED), RequestBody(body, True))
    assert buffered[1] == AnswerRequestBody(answers[0].set_headers)


@pytest.mark.parametrize(
    "mode", [FULL, BodyMode.BUFFERED, BodyMode.NONE], ids=lambda mode: mode.name
)
def test_a_body_that_would_hold_all_others_up_is_refused(mode: BodyMode) -> None:
    """Also where the model is found: behind what is not read another may stand."""
    body = b'{"model":"m",' + b'"a":1,' * 100_000 + b'"model":"n"}'
    actions = everything(head(mode), RequestBody(body, end_of_stream=True))
    [refusal] = [action.refusal for action in actions if isinstance(action, Refuse)]
    assert refusal.reason is Reason.BAD_REQUEST
    assert refusal.detail == "the request body has too many members and brackets for its size"
    assert note(actions).outcome is Outcome.INTRICATE
    assert isinstance(actions[-1], EndStream)
