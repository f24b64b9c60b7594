from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.payloads.toplevel import BOM, Member, NotAnObject, members, value_end

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
