from __future__ import annotations

from collections.abc import Mapping

import orjson
import pytest

from epp.core.decision import Endpoints, StageRecord, record_of
from epp.core.stages import Role, Skip
from tests.helpers.build import a_request, an_endpoint

A = an_endpoint("a", address="10.0.0.1")
B = an_endpoint("b", address="fd00::1")


def test_a_record_shows_every_profile_that_ran() -> None:
    record = record_of(a_request(model="m"), 1.0)
    record.profile, record.handler, record.handler_type = "decode", "h", "disagg-profile-handler"
    record.candidates, record.totals, record.scores = [A], [2.0], {"s": [1.0]}
    record.picked = (A,)
    prefill = StageRecord(Role.PREFILL, "pf", None, (B,), [B], [0.5], {"q": [0.25]}, 7)
    record.stages = (StageRecord(Role.ENCODE, "encode", Skip.DECIDER), prefill)
    shown = orjson.loads(orjson.dumps(record.as_dict()))
    assert shown["version"] == 3
    assert (shown["profile"], shown["picked"]) == ("decode", ["10.0.0.1:8000"])
    assert shown["candidates"][0]["scores"] == {"s": 1.0}
    skipped, ran = shown["stages"]
    assert (skipped["role"], skipped["skip"], skipped["picked"]) == ("encode", "decider", [])
    assert ran == {
        "role": "prefill",
        "profile": "pf",
        "skip": "",
        "picked": ["[fd00::1]:8000"],
        "cached_tokens": 7,
        "candidates": [{"endpoint": "[fd00::1]:8000", "total": 0.5, "scores": {"q": 0.25}}],
    }


def test_the_roles_that_share_a_request_in_the_order_of_their_work() -> None:
    record = record_of(a_request(), 1.0)
    assert record.disaggregation == "decode-only"
    prefill, encode = StageRecord(Role.PREFILL, "p"), StageRecord(Role.ENCODE, "e")
    record.stages = (prefill, encode)
    assert record.disaggregation == "decode-only"
    prefill.picked = (A,)
    assert record.disaggregation == "prefill-decode"
    encode.picked = (B,)
    assert record.disaggregation == "encode-prefill-decode"


def test_what_gateways_are_told() -> None:
    assert Endpoints((A, B)).destination == "10.0.0.1:8000,[fd00::1]:8000"
    assert Endpoints((B,), common_authority="[fd00::1]:80").destination == "[fd00::1]:80"


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


def test_a_rank_answers_for_the_common_port_of_its_pod() -> None:
    decision = Endpoints(
        (FALLBACK,),
        common_authority="10.9.9.2:80",
        response_headers_by_server={FALLBACK.authority: {"x-token": "b"}},
    )
    assert decision.response_headers_of("10.9.9.2:80") == {"x-token": "b"}
