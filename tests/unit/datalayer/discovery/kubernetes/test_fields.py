from __future__ import annotations

from collections.abc import Callable

import pytest

from epp.datalayer.discovery.kubernetes.fields import (
    BadField,
    as_mapping,
    integer_at,
    list_at,
    mapping_at,
    name_at,
    text_at,
    texts_at,
)


def test_what_is_absent_or_null_is_empty() -> None:
    for parent in ({}, {"a": None}):
        assert mapping_at(parent, "a") == {}
        assert list_at(parent, "a") == []
        assert text_at(parent, "a") == ""
        assert texts_at(parent, "a") == {}
        assert integer_at(parent, "a", "", 0, 9) is None


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: mapping_at({"a": []}, "a", "spec"), "spec.a: a mapping is expected, not list"),
        (lambda: list_at({"a": {}}, "a", "spec"), "spec.a: a list is expected, not dict"),
        (lambda: text_at({"a": 1}, "a"), "a: a text is expected, not int"),
        (lambda: name_at({}, "a", "spec"), "spec.a: is missing"),
        (lambda: name_at({"a": ""}, "a", "spec"), "spec.a: is missing"),
        (lambda: texts_at({"a": {"k": 1}}, "a", "m"), "m.a.k: a text is expected, not int"),
        (lambda: integer_at({"a": True}, "a", "s", 0, 9), "s.a: an integer is expected, not bool"),
        (lambda: integer_at({"a": 1.5}, "a", "s", 0, 9), "s.a: an integer is expected, not float"),
        (lambda: integer_at({"a": 10}, "a", "s", 0, 9), "s.a: 10 is not in 0..9"),
        (lambda: as_mapping("x", "s.a[1]"), "s.a[1]: a mapping is expected, not str"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(read: Callable[[], object], message: str) -> None:
    with pytest.raises(BadField) as caught:
        read()
    assert str(caught.value) == message
