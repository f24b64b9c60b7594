from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from epp.payloads.outline import WINDOW_BYTES, has_more, nesting, outside_strings

TEXTS = st.text() | st.text(alphabet='\\"{}[]:,/a ', max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.booleans())
def test_what_is_outside_is_the_text_without_its_strings(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    outside = b"".join(outside_strings(text))
    assert b'"' not in outside
    for sign in b"{}[]:,":
        assert outside.count(sign) == count(value, chr(sign))


def count(value: object, sign: str) -> int:
    """How often a sign is there that is no text."""
    if isinstance(value, dict):
        inside = sum(count(inner, sign) for inner in value.values())
        own = {"{": 1, "}": 1, ":": len(value), ",": max(0, len(value) - 1)}
        return inside + own.get(sign, 0)
    if isinstance(value, list):
        inside = sum(count(inner, sign) for inner in value)
        return inside + {"[": 1, "]": 1, ",": max(0, len(value) - 1)}.get(sign, 0)
    return 0


@pytest.mark.parametrize("shift", range(8))
def test_a_string_goes_on_in_the_next_window(shift: int) -> None:
    text = b"[" * (WINDOW_BYTES - shift) + b'"\\\\\\"]\\"[",1]'
    assert b"".join(outside_strings(text)) == b"[" * (WINDOW_BYTES - shift) + b",1]"


@given(VALUES, VALUES)
def test_as_many_brackets_close_as_open(first: object, second: object) -> None:
    text = json.dumps([first, second]).encode()
    assert nesting(text) == 0
    assert nesting(text[:1]) == 1
    assert nesting(json.dumps(first).encode() + b"]}") == -2


@pytest.mark.parametrize(
    ("text", "more"),
    [
        pytest.param(b"[[[[", True, id="brackets"),
        pytest.param(b'{"a":[]}', False, id="just-so-many"),
        pytest.param(b'{"a":[1]},{"b":2}', True, id="all-together"),
        pytest.param(b'["[[[[[[[["]', False, id="in-a-string"),
        pytest.param(b'["\\"[[[[[[[["]', False, id="behind-an-escaped-quote"),
        pytest.param(b'["\\\\"[[[[[[[["]', True, id="behind-an-escaped-backslash"),
        pytest.param(b"x" * 100, False, id="text"),
        pytest.param(b"", False, id="nothing"),
    ],
)
def test_signs_are_counted_outside_of_strings(text: bytes, more: bool) -> None:
    assert has_more(text, b"[{:", 3) is more


@given(st.binary(max_size=60), st.integers(0, 9))
@example(b'["', 0)
def test_counting_agrees_with_what_is_outside(text: bytes, limit: int) -> None:
    found = sum(b"".join(outside_strings(text)).count(sign) for sign in (b"[", b"{", b":"))
    assert has_more(text, b"[{:", limit) is (found > limit)
