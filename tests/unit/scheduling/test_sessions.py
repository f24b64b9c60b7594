from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping

import pytest

from epp.core.request import RequestFacts
from epp.scheduling import sessions
from epp.scheduling.plugins.session_affinity_scorer import SessionAffinityScorer
from epp.scheduling.sessions import (
    EncodedEndpointHeader,
    SessionIds,
    SessionSource,
    Strategy,
)
from tests.helpers.build import a_request, an_endpoint

POOL = [an_endpoint(name) for name in "abc"]
REMEMBERING = SessionAffinityScorer(strategy=Strategy.SESSION_ID)


def of_session(name: str = "s", at: float = 0.0) -> RequestFacts:
    return a_request(headers={"x-session-id": name}, attempted_at=at)


def token(name: str) -> str:
    return b64encode(f"default/{name}".encode()).decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (token("b"), "b"),
        (token("gone"), None),
        ("", None),
        ("not base64!", None),
        (b64encode(b"\xff\xfe").decode(), None),
        (token("b")[:-1], None),
    ],
)
def test_the_client_brings_back_the_name_of_an_endpoint(text: str, expected: str | None) -> None:
    plugin = SessionAffinityScorer()
    own = plugin.own(plugin.new_state(), a_request(headers={"x-session-token": text}), POOL)
    assert (own.name if own else None) == expected


def test_the_response_carries_who_served() -> None:
    plugin = SessionAffinityScorer(
        encoded_endpoint_header_config=EncodedEndpointHeader("X-My-Token")
    )
    assert plugin.response_headers(POOL[1]) == {"x-my-token": token("b")}
    request = a_request(headers=plugin.response_headers(POOL[1]))
    assert plugin.own(plugin.new_state(), request, POOL) is POOL[1]


def test_who_is_remembered_here_is_not_told() -> None:
    assert REMEMBERING.response_headers(POOL[1]) == {}


def test_nothing_is_remembered_of_what_the_client_brings_back() -> None:
    plugin = SessionAffinityScorer()
    state = plugin.new_state()
    plugin.decided(state, of_session(), POOL, POOL[0], 0.0)
    plugin.finished(state, of_session(), POOL[0], POOL[1], 0.0)
    assert state.bound == {}


def test_a_session_stays_with_its_first_endpoint() -> None:
    state = REMEMBERING.new_state()
    REMEMBERING.decided(state, of_session(), POOL, POOL[0], 0.0)
    assert REMEMBERING.own(state, of_session(), POOL) is POOL[0]
    # Another was picked though it could have been picked again.
    REMEMBERING.decided(state, of_session(), POOL, POOL[1], 1.0)
    assert REMEMBERING.own(state, of_session(), POOL) is POOL[0]


def test_a_session_whose_endpoint_is_not_there_moves() -> None:
    state = REMEMBERING.new_state()
    REMEMBERING.decided(state, of_session(), POOL, POOL[0], 0.0)
    REMEMBERING.decided(state, of_session(), POOL[1:], POOL[2], 1.0)
    assert REMEMBERING.own(state, of_session(), POOL) is POOL[2]


def test_a_session_goes_with_the_gateway_to_another_endpoint() -> None:
    state = REMEMBERING.new_state()
    REMEMBERING.decided(state, of_session(), POOL, POOL[0], 0.0)
    REMEMBERING.finished(state, of_session(), POOL[1], POOL[2], 1.0)  # never was on b
    assert REMEMBERING.own(state, of_session(), POOL) is POOL[0]
    REMEMBERING.finished(state, of_session(), POOL[0], POOL[2], 1.0)
    assert REMEMBERING.own(state, of_session(), POOL) is POOL[2]


def test_an_unused_session_ends_and_use_prolongs_it() -> None:
    state = REMEMBERING.new_state()
    REMEMBERING.decided(state, of_session(), POOL, POOL[0], 0.0)
    assert REMEMBERING.own(state, of_session(at=300.0), POOL) is POOL[0]
    assert REMEMBERING.own(state, of_session(at=300.1), POOL) is None
    REMEMBERING.decided(state, of_session(), POOL, POOL[0], 200.0)
    assert REMEMBERING.own(state, of_session(at=500.0), POOL) is POOL[0]


def test_what_expired_is_dropped_a_few_at_a_time() -> None:
    state = REMEMBERING.new_state()
    for n in range(sessions.DROPPED_AT_ONCE + 10):
        REMEMBERING.decided(state, of_session(str(n)), POOL, POOL[0], float(n))
    REMEMBERING.decided(state, of_session("new"), POOL, POOL[0], 1000.0)
    assert len(state.bound) == 10 + 1
    REMEMBERING.decided(state, a_request(), POOL, POOL[0], 1000.0)
    assert list(state.bound) == ["new"]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 3)
    state = REMEMBERING.new_state()
    for name in ("a", "b", "c", "a", "d"):
        REMEMBERING.decided(state, of_session(name), POOL, POOL[0], 0.0)
    assert list(state.bound) == ["c", "a", "d"]


def test_a_long_session_id_is_remembered_shortly() -> None:
    state = REMEMBERING.new_state()
    REMEMBERING.decided(state, of_session("x" * 50_000), POOL, POOL[1], 0.0)
    [key] = state.bound
    assert len(key) <= sessions.LONGEST_KEY
    assert REMEMBERING.own(state, of_session("x" * 50_000), POOL) is POOL[1]
    assert REMEMBERING.own(state, of_session("x" * 50_001), POOL) is None


@pytest.mark.parametrize(
    ("source", "headers", "read"),
    [
        (SessionSource(header="X-Chat"), {"x-chat": "  c1 "}, "c1"),
        (SessionSource(cookie="sid"), {"cookie": 'a=1; sid="c2"; b'}, "c2"),
        (SessionSource(cookie="sid"), {"cookie": "asid=1; sidx=2"}, ""),
        (SessionSource(cookie="sid"), {}, ""),
        (SessionSource(attribute="SessionIDDataKey"), {"x-session-id": "c3"}, ""),
    ],
)
def test_where_a_request_names_its_session(
    source: SessionSource, headers: Mapping[str, str], read: str
) -> None:
    assert source.read(headers) == read


def test_the_first_source_that_says_something_counts() -> None:
    ids = SessionIds((SessionSource(header="a"), SessionSource(header="b")))
    assert ids.of(a_request(headers={"a": " ", "b": "two"})) == "two"
    assert ids.of(a_request(headers={"a": "one", "b": "two"})) == "one"
    assert SessionIds(()).of(a_request(headers={"x-session-id": "default"})) == "default"


def test_zero_seconds_are_the_default() -> None:
    assert SessionIds(eviction_ttl_seconds=0).ttl_seconds == 300.0


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "exactly one of header, cookie and attribute"),
        ({"header": "a", "cookie": "b"}, "exactly one"),
        ({"attribute": "other"}, "attribute: 'other' is not SessionIDDataKey"),
    ],
)
def test_a_source_is_one_thing(fields: dict[str, str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        SessionSource(**fields)


@pytest.mark.parametrize("field", ["eviction_ttl_seconds", "eviction_sweep_seconds"])
def test_times_are_not_negative(field: str) -> None:
    with pytest.raises(ValueError, match="is below zero"):
        SessionIds(**{field: -1.0})  # type: ignore[arg-type]


def test_a_header_is_needed() -> None:
    with pytest.raises(ValueError, match="header: is empty"):
        EncodedEndpointHeader("")
