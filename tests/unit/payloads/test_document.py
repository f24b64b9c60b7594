from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.core.refusal import Reason, Refused
from epp.payloads.document import (
    COUNTED_BYTES,
    MAX_LENIENT_VALUES,
    MAX_PARTS,
    dump_json,
    dump_name,
    load_object,
    load_scalars,
    load_strictly,
)
from epp.payloads.toplevel import MAX_STEPS

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


TEXT = b'"' + b"x" * COUNTED_BYTES + b'"'
INTRICATE = b'{"a":[' * MAX_STEPS + b"1" + b"]}" * MAX_STEPS


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(b"[],", id="lists"),
        pytest.param(b"{},", id="objects"),
        pytest.param(b'{"a":[]},', id="all"),
    ],
)
def test_very_many_parts_of_a_large_body_are_not_built(part: bytes) -> None:
    body = b'{"t":' + TEXT + b',"a":[' + part * MAX_PARTS + b"1]}"
    with pytest.raises(Refused, match="more than 200000 objects, lists and members") as caught:
        load_object(body)
    assert caught.value.reason is Reason.BAD_REQUEST
    assert load_strictly(body) is None


def test_very_many_members_of_a_large_body_are_not_built() -> None:
    keys = b",".join(b'"%d":1' % number for number in range(MAX_PARTS))
    with pytest.raises(Refused, match="more than 200000 objects, lists and members"):
        load_object(b'{"t":' + TEXT + b"," + keys + b"}")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"a":"' + b"[{:" * COUNTED_BYTES + b'"}', id="in-a-text"),
        pytest.param(b'{"t":' + TEXT + b',"a":[' + b"1," * MAX_PARTS + b"1]}", id="numbers"),
        pytest.param(b'{"a":[' + b"[]," * MAX_PARTS + b"1]}", id="in-a-small-body"),
    ],
)
def test_what_costs_little_may_be_as_much_as_it_will(body: bytes) -> None:
    document = load_object(body)
    assert document == load_strictly(body) == json.loads(body)


@pytest.mark.parametrize("strictly", [b'{"a":1}', b"{}"])
def test_strict_json(strictly: bytes) -> None:
    assert load_strictly(strictly) == json.loads(strictly)


@pytest.mark.parametrize("body", [b"", b"[1]", b'{"a":NaN}', b'{"a":' + DEEP + b"}", b'{"a":1'])
def test_what_is_not_strict(body: bytes) -> None:
    assert load_strictly(body) is None


def test_only_so_many_values_are_read_leniently() -> None:
    def body(values: int) -> bytes:
        return b'{"t":NaN,"s":"' + b"," * 200_000 + b'","a":[' + b"1," * values + b"1]}"

    assert len(load_object(body(MAX_LENIENT_VALUES - 2))["a"]) == MAX_LENIENT_VALUES - 1
    with pytest.raises(Refused, match=r"line 1 column 6 .* more than 100000 values$"):
        load_object(body(MAX_LENIENT_VALUES))


def test_a_number_without_an_end_within_others() -> None:
    body = b'{"a":[1,' + b"9" * 9999 + b',{"b":18446744073709551616}]}'
    assert load_object(body) == {"a": [1, "9" * 9999, {"b": 2**64}]}


def test_what_no_parser_builds_and_nobody_can_skip_is_refused_with_the_place() -> None:
    with pytest.raises(Refused, match="too much to look at before byte ") as caught:
        load_object(b'{"model":"m","a":' + INTRICATE + b"}")
    assert caught.value.reason is Reason.BAD_REQUEST


def test_scalars_before_too_much_to_look_at() -> None:
    body = b'{"model":"m","a":' + INTRICATE + b',"model":"n"}'
    with pytest.raises(Refused, match="too much to look at before byte "):
        load_scalars(body)
    assert load_scalars(body, complete=False) == ({"model": "m"}, False)
