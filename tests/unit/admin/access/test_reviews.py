from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.admin.access.reviews import (
    Identity,
    ReviewFailed,
    access_review,
    bearer_token,
    identity_of,
    is_allowed,
    token_review,
)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Basic dXNlcg==", None),
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("  BEARER   abc  ", "abc"),
        ("Bearer abc more", "abc"),
    ],
)
def test_the_token_of_a_header(header: str | None, token: str | None) -> None:
    assert bearer_token(header) == token


def test_a_token_review_holds_the_token() -> None:
    assert token_review("abc")["spec"] == {"token": "abc"}


USER = {
    "username": "system:serviceaccount:a:b",
    "uid": "u1",
    "groups": ["g1", "g2"],
    "extra": {"scopes": ["x", "y"]},
}
IDENTITY = Identity("system:serviceaccount:a:b", "u1", ("g1", "g2"), (("scopes", ("x", "y")),))


@pytest.mark.parametrize(
    ("status", "identity"),
    [
        ({"authenticated": True, "user": USER}, IDENTITY),
        ({"authenticated": True, "user": {"username": "u"}}, Identity("u")),
        ({"authenticated": True, "user": {"username": "u", "groups": None}}, Identity("u")),
        ({"authenticated": False, "error": "invalid bearer token"}, None),
        ({"authenticated": "true", "user": USER}, None),
        ({}, None),
    ],
)
def test_whose_token_it_is(status: object, identity: Identity | None) -> None:
    assert identity_of({"status": status}) == identity


@pytest.mark.parametrize(
    ("review", "place"),
    [
        ({}, "status"),
        ({"status": []}, "status"),
        ({"status": {"authenticated": True}}, "status.user"),
        ({"status": {"authenticated": True, "user": {}}}, "status.user.username"),
        ({"status": {"authenticated": True, "user": {"username": ""}}}, "status.user.username"),
        (
            {"status": {"authenticated": True, "user": {"username": "u", "groups": "g"}}},
            "status.user.groups",
        ),
        (
            {"status": {"authenticated": True, "user": {"username": "u", "extra": {"k": [1]}}}},
            "status.user.extra.k",
        ),
    ],
)
def test_an_answer_of_another_form_lets_nobody_in(review: dict[str, object], place: str) -> None:
    with pytest.raises(ReviewFailed, match=place.replace(".", r"\.")):
        identity_of(review)


def test_an_access_review_tells_all_that_is_known_of_the_user() -> None:
    assert access_review(IDENTITY, "/metrics", "get")["spec"] == {
        "user": "system:serviceaccount:a:b",
        "uid": "u1",
        "groups": ["g1", "g2"],
        "extra": {"scopes": ["x", "y"]},
        "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
    }


@pytest.mark.parametrize(
    ("status", "allowed"),
    [
        ({"allowed": True}, True),
        ({"allowed": True, "denied": True}, False),
        ({"allowed": False}, False),
        ({"allowed": "true"}, False),
        ({}, False),
    ],
)
def test_what_is_allowed(status: object, allowed: bool) -> None:
    assert is_allowed({"status": status}) is allowed


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_arbitrary_answers_let_nobody_in(user: object) -> None:
    try:
        found = identity_of({"status": {"authenticated": True, "user": user}})
    except ReviewFailed:
        return
    assert isinstance(user, dict)
    assert found is not None
    assert found.name == user["username"] != ""
