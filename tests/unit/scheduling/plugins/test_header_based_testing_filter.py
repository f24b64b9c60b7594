from __future__ import annotations

import pytest

from epp.scheduling.plugins.header_based_testing_filter import HEADER, HeaderBasedTestingFilter
from tests.helpers.build import a_request, an_endpoint

POOL = [
    an_endpoint("a", address="10.0.0.1", port=3000),
    an_endpoint("b", address="10.0.0.1", port=3002),
    an_endpoint("c", address="fd00::1", port=3000),
]


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        pytest.param("10.0.0.1:3002", ["b"], id="ip-and-port"),
        pytest.param("10.0.0.1", ["a"], id="one-endpoint-for-an-ip"),
        pytest.param("[fd00::1]:3000, 10.0.0.1:3000", ["c", "a"], id="list"),
        pytest.param("[fd00::1]", ["c"], id="bracketed-ip"),
        pytest.param("fd00::1", ["c"], id="bare-ipv6"),
        pytest.param("10.9.9.9", [], id="unknown"),
        pytest.param("", [], id="empty"),
    ],
)
def test_keeps(header: str, kept: list[str]) -> None:
    request = a_request(headers={HEADER: header})
    assert [e.name for e in HeaderBasedTestingFilter().keep(request, POOL)] == kept


def test_without_the_header_none_is_kept() -> None:
    assert HeaderBasedTestingFilter().keep(a_request(), POOL) == []


def test_requests_with_the_same_header_fit_alike() -> None:
    one, two = a_request(headers={HEADER: "x"}), a_request(headers={HEADER: "x"})
    assert HeaderBasedTestingFilter().fit_key(one) == HeaderBasedTestingFilter().fit_key(two)
