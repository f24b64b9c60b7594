from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.payloads.toplevel import (
    BOM,
    MAX_STEPS,
    STEPS_OF_MEMBER,
    Member,
    NotAnObject,
    TooIntricate,
    members,
    value_end,
    values_of,
)

TEXTS = st.text() | st.text(alphabet='\\"{}[]:,/a ', max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
SPACINGS = st.sampled_from([(",", ":"), (", ", ": "), ("\t,\r\n", " \n: ")])


@given(
    st.dictionaries(TEXTS, VALUES, max_size=6),
    st.sampled_from([None, 0, 2]),
    SPACINGS,
    st.booleans(),
)
def test_finds_every_member_of_any_object(
    document: dict[str, object], indent: int | None, spacing: tuple[str, str], ascii_only: bool
) -> None:
    body = json.dumps(document, indent=indent, separators=spacing, ensure_ascii=ascii_only).encode()
    found = [(m.key, body[m.start : m.stop]) for m in members(body)]
    read = {json.loads(key): json.loads(value) for key, value in found}
    assert repr(read) == repr(document)  # NaN is not equal to itself
    assert list(read) == list(document)


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4), st.integers(0))
def test_a_cut_object_yields_the_members_before_the_cut(
    document: dict[str, object], cut: int
) -> None:
    whole = json.dumps(document).encode()
    body = whole[: cut % len(whole)]
    found: list[Member] = []
    with pytest.raises(NotAnObject):
        found.extend(members(body))  # what came before the error stays
    assert found == [member for member in members(whole) if member.stop < len(body)]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[1]", id="list"),
        pytest.param(b"{", id="only-begun"),
        pytest.param(b'{"a":1', id="cut"),
        pytest.param(b'{"a":"b', id="cut-string"),
        pytest.param(b'{"a":"b\\"', id="cut-after-an-escaped-quote"),
        pytest.param(b'{"a":[{}', id="cut-array"),
        pytest.param(b'{"a":1} x', id="garbage-behind"),
        pytest.param(b"{} x", id="garbage-behind-nothing"),
        pytest.param(b'{"a" 1}', id="no-colon"),
        pytest.param(b'{"a":}', id="no-value"),
        pytest.param(b'{"a":1 2}', id="two-values"),
        pytest.param(b'{"a":1,}', id="trailing-comma"),
        pytest.param(b"{,}", id="only-a-comma"),
        pytest.param(b"{1:2}", id="key-is-no-string"),
    ],
)
def test_what_is_no_object(body: bytes) -> None:
    with pytest.raises(NotAnObject) as caught:
        list(members(body))
    assert 0 <= caught.value.position <= len(body)


@pytest.mark.parametrize("body", [b"{}", b" { } ", BOM + b"\n{\t}\r\n"])
def test_an_object_without_members(body: bytes) -> None:
    assert list(members(body)) == []


def test_depth_does_not_matter() -> None:
    body = b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b',"b":1}'
    assert [member.key for member in members(body)] == [b'"a"', b'"b"']


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(b'"' + b'\\"' * 500_000, id="escaped-quotes"),
        pytest.param(b'"' + b'\\\\\\"' * 250_000, id="escaped-backslashes-and-quotes"),
        pytest.param(b'["a",' * 100_000, id="arrays-with-strings"),
        pytest.param(b" " * 1_000_000, id="blanks"),
    ],
)
def test_hostile_bytes_without_an_end_are_read_once(tail: bytes) -> None:
    """Reading such bytes again from every quote or bracket would take hours."""
    with pytest.raises(NotAnObject):
        list(members(b'{"x":' + b"[" * 3000 + tail))


def test_a_byte_order_mark_and_blanks_are_passed_over() -> None:
    body = BOM + b' \n{ "a" : 1 , "a":2 }\n'
    assert [body[m.start : m.stop] for m in members(body)] == [b"1", b"2"]


@pytest.mark.parametrize(
    ("key", "name", "same"),
    [
        (b'"model"', "model", True),
        (b'"\\u006dodel"', "model", True),
        (b'"mod\\u0065l"', "model", True),
        (b'"\\u006dodel"', "node", False),
        (b'"models"', "model", False),
        (b'"a\\"model"', "model", False),
        (b'"\xff\\u006dodel"', "model", False),
    ],
)
def test_a_key_is_known_by_its_name(key: bytes, name: str, same: bool) -> None:
    [member] = members(b"{" + key + b": 1}")
    assert member.is_named(name) is same


@pytest.mark.parametrize(
    ("text", "start", "rest"),
    [
        (b'[{"a":"]"},[]] tail', 0, b" tail"),
        (b'x{"a":{"b":"\\\\"}}, 1', 1, b", 1"),
        (b'"a\\\\\\"b" , ', 0, b" , "),
        (b"-1.5e3}", 0, b"}"),
        (b"null", 0, b""),
    ],
)
def test_where_a_value_ends(text: bytes, start: int, rest: bytes) -> None:
    assert text[value_end(text, start) :] == rest


NAMED = st.recursive(
    st.none() | st.integers() | TEXTS | st.just("model"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.just("model") | TEXTS, inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(st.tuples(st.just("model") | TEXTS, NAMED), max_size=6), SPACINGS, st.booleans())
def test_values_are_found_by_name_as_by_going_through_all(
    pairs: list[tuple[str, object]], spacing: tuple[str, str], ascii_only: bool
) -> None:
    comma, colon = spacing
    written = (
        json.dumps(key) + colon + json.dumps(value, separators=spacing, ensure_ascii=ascii_only)
        for key, value in pairs
    )
    body = ("{" + comma.join(written) + "}").encode()
    expected = [(m.start, m.stop) for m in members(body) if m.is_named("model")]
    assert values_of(body, "model") == expected


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param(b'{"x":"model","model":1}', b"1", id="a-text-of-that-name"),
        pytest.param(b'{"x\\"model":2,"model":1}', b"1", id="the-end-of-a-name"),
        pytest.param(b'{"\\u006dodel":1}', b"1", id="with-an-escape"),
        pytest.param(BOM + b' {\n"model" : {"model":3} }', b'{"model":3}', id="an-object"),
    ],
)
def test_the_value_of_a_name(body: bytes, value: bytes) -> None:
    [(start, stop)] = values_of(body, "model")
    assert body[start:stop] == value


@pytest.mark.parametrize("body", [b"", b'["model"]', b'"model":1'])
def test_what_is_no_object_has_no_names(body: bytes) -> None:
    with pytest.raises(NotAnObject):
        values_of(body, "model")


def test_brackets_side_by_side_and_flat_values_are_one_step() -> None:
    flat = b'[{"a":1},[2]],' * 3
    body = b'{"a":' + b"[" * 100_000 + flat * 1000 + b"1" + b"]" * 100_000 + b',"b":1}'
    assert [member.key for member in members(body)] == [b'"a"', b'"b"']


@pytest.mark.parametrize(
    ("unit", "steps"),
    [
        pytest.param(b'"a":1,', STEPS_OF_MEMBER, id="members"),
        pytest.param(b'"a":"",', STEPS_OF_MEMBER, id="members-with-texts"),
        pytest.param(b'"a":[[]],', STEPS_OF_MEMBER + 1, id="members-with-lists"),
    ],
)
def test_so_many_members_are_looked_at(unit: bytes, steps: int) -> None:
    most = MAX_STEPS // steps
    assert len(list(members(b"{" + unit * (most - 1) + b'"b":2}'))) == most
    found: list[Member] = []
    with pytest.raises(TooIntricate) as caught:
        found.extend(members(b"{" + unit * (10 * most) + b'"b":2}'))
    assert len(found) == most
    assert caught.value.position <= (most + 1) * len(unit)


@pytest.mark.parametrize("unit", [b'{"a":[', b"[[],[", b'["",{"a":'])
def test_so_many_brackets_are_looked_at(unit: bytes) -> None:
    with pytest.raises(TooIntricate) as caught:
        value_end(unit * 10 * MAX_STEPS, 0)
    assert caught.value.position <= (MAX_STEPS + 1) * len(unit)


def test_a_name_in_very_many_places_is_not_looked_for() -> None:
    with pytest.raises(TooIntricate):
        values_of(b'{"x":[' + b'"model",' * 10 * MAX_STEPS + b'1],"model":1}', "model")


def test_what_else_there_is_does_not_matter_for_a_name() -> None:
    body = b'{"x":[' + b"[[[1],[2]]]," * 50_000 + b'[{"model":1}]],"model":2,"y":[[[1]]]}'
    [(start, stop)] = values_of(body, "model")
    assert body[start:stop] == b"2"
