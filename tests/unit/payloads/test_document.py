from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.core.refusal import Reason, Refused
from epp.payloads.document import dump_json, dump_name, load_object, load_scalars

DEEP = b"[" * 200_000 + b"]" * 200_000


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b'{"a":1,"a":2}', {"a": 2}, id="the-last-of-two-counts"),
        pytest.param(b'\xef\xbb\xbf{"a":1}', {"a": 1}, id="byte-order-mark"),
        pytest.param(b'{"a":"\xff"}', {"a": "\ufffd"}, id="invalid-utf8"),
        pytest.param(b'{"a":"\\ud800"}', {"a": "\ud800"}, id="lone-surrogate"),
        pytest.param(b'{"a":18446744073709551616}', {"a": 2**64}, id="beyond-64-bits"),
        pytest.param(b'{"a":-Infinity}', {"a": float("-inf")}, id="infinity"),
        pytest.param(b'{"a":' + b"9" * 9999 + b"}", {"a": "9" * 9999}, id="endless-number"),
        pytest.param(b'{"a":' + DEEP + b',"b":[1]}', {"a": DEEP, "b": [1]}, id="too-deep-a-value"),
    ],
)
def test_what_engines_take(body: bytes, expected: dict[str, object]) -> None:
    assert load_object(body) == expected


@pytest.mark.parametrize(
    ("body", "place"),
    [
        pytest.param(b"", "character 0", id="empty"),
        pytest.param(b'{"a":1,}', "character 7", id="trailing-comma"),
        pytest.param(b"[1]", "not a JSON object", id="list"),
        pytest.param(b"null", "not a JSON object", id="null"),
        pytest.param(DEEP, "byte 0", id="deep-list"),
        pytest.param(b'{"a":' + DEEP + b',"b"}', "byte 400006", id="deep-and-broken"),
        pytest.param(b'{"a":' + DEEP + b',"b":nix}', "Expecting value", id="deep-and-no-literal"),
    ],
)
def test_what_is_no_object_is_refused_with_the_place(body: bytes, place: str) -> None:
    with pytest.raises(Refused, match=f"^error unmarshaling request bodyMap: .*{place}") as caught:
        load_object(body)
    assert caught.value.reason is Reason.BAD_REQUEST


@pytest.mark.parametrize(
    ("body", "found", "whole"),
    [
        pytest.param(
            b'{"a":"x","b":[1],"c":true}', {"a": "x", "b": None, "c": True}, True, id="all"
        ),
        pytest.param(b'{"a":"x","b":"y', {"a": "x"}, False, id="cut"),
        pytest.param(b'{"a":1,"a":{}}', {"a": None}, True, id="the-last-of-two-counts"),
        pytest.param(b'{"a":' + DEEP + b',"b":1}', {"a": None, "b": 1}, True, id="deep"),
        pytest.param(b'{"a":1,"b":nix}', {"a": 1}, False, id="no-literal"),
        pytest.param(b"\x89PNG", {}, False, id="no-object"),
    ],
)
def test_scalars(body: bytes, found: dict[str, object], whole: bool) -> None:
    assert load_scalars(body) == (found, whole)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON_VALUES)
def test_a_dumped_value_reads_back(value: object) -> None:
    assert json.loads(dump_json(value)) == value


@pytest.mark.parametrize(
    ("depth", "written"),
    [pytest.param(500, True, id="deep"), pytest.param(100_000, False, id="too-deep")],
)
def test_dumping_ends_at_any_depth(depth: int, written: bool) -> None:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    assert dump_json(value) == (b"[" * depth + b"]" * depth if written else b"")


@pytest.mark.parametrize(
    ("name", "written"),
    [("m", b'"m"'), ('a"\\', b'"a\\"\\\\"'), ("mödel", '"mödel"'.encode()), ("x\udcff", b'"x?"')],
)
def test_names(name: str, written: bytes) -> None:
    assert dump_name(name) == written
