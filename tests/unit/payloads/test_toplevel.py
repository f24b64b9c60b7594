from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.payloads.toplevel import BOM, NotAnObject, members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), VALUES, max_size=6), st.sampled_from([None, 0, 2]), st.booleans())
def test_finds_every_member_of_any_object(
    document: dict[str, object], indent: int | None, ascii_only: bool
) -> None:
    body = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace")
    if b"?" in body and not ascii_only:
        return  # a lone surrogate that UTF-8 cannot carry
    found = {json.loads(m.key): json.loads(body[m.start : m.stop]) for m in members(body)}
    assert found == document


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[1]", id="list"),
        pytest.param(b'{"a":1', id="cut"),
        pytest.param(b'{"a":"b', id="cut-string"),
        pytest.param(b'{"a":1} x', id="garbage-behind"),
    ],
)
def test_what_is_no_object(body: bytes) -> None:
    with pytest.raises(NotAnObject):
        list(members(body))


def test_depth_does_not_matter() -> None:
    body = b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b',"b":1}'
    assert [member.key for member in members(body)] == [b'"a"', b'"b"']


def test_a_byte_order_mark_and_blanks_are_passed_over() -> None:
    body = BOM + b' \n{ "a" : 1 , "a":2 }\n'
    assert [body[m.start : m.stop] for m in members(body)] == [b"1", b"2"]


def test_an_escaped_key_is_known_by_its_name() -> None:
    [member] = members(b'{"\\u006dodel": 1}')
    assert member.is_named("model")
    assert not member.is_named("node")
