from __future__ import annotations

from collections.abc import Mapping

import pytest

from epp.core.decision import Endpoints
from tests.helpers.build import an_endpoint

PICK, FALLBACK = an_endpoint(address="10.9.9.1"), an_endpoint(address="10.9.9.2")
BY_SERVER = {"10.9.9.1:8000": {"x-token": "a"}, "10.9.9.2:8000": {"x-token": "b"}}


@pytest.mark.parametrize(
    ("served", "headers"),
    [
        ("", {"x-kind": "k", "x-token": "a"}),
        ("10.9.9.1:8000", {"x-kind": "k", "x-token": "a"}),
        ("10.9.9.2:8000", {"x-kind": "k", "x-token": "b"}),
        ("10.9.9.3:8000", {"x-kind": "k"}),
    ],
)
def test_response_headers_are_of_who_served(served: str, headers: Mapping[str, str]) -> None:
    decision = Endpoints(
        (PICK, FALLBACK),
        response_headers={"x-kind": "k"},
        response_headers_by_server=BY_SERVER,
    )
    assert decision.response_headers_of(served) == headers


def test_headers_whoever_serves() -> None:
    assert Endpoints((PICK,), response_headers={"a": "b"}).response_headers_of("x") == {"a": "b"}
