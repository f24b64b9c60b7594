from __future__ import annotations

import pytest

from epp.config.errors import ConfigError
from epp.config.yaml_text import load


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("- &a {type: t, name: x}\n- {<<: *a, name: y}", [("t", "x"), ("t", "y")]),
        ("- &a {name: x}\n- {type: t, <<: *a}", [(None, "x"), ("t", "x")]),
        ("- &a {type: t}\n- {<<: [*a, {name: y}]}", [("t", None), ("t", "y")]),
        ("- &a {type: t}\n- &b {<<: *a, type: u}\n- {<<: *b}", [("t", None)] + [("u", None)] * 2),
        # The inner one is merged before its own turn comes.
        ("- type: {in: &b {<<: {name: x}, name: y}}\n- {<<: *b}", [({"in": {"name": "y"}}, None)]),
    ],
)
def test_merge_keys_bring_in_what_is_not_there(
    text: str, data: list[tuple[object, object]]
) -> None:
    found = load(text)
    assert isinstance(found, list)
    assert [(entry.get("type"), entry.get("name")) for entry in found][: len(data)] == data


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2", "line 2, column 1: duplicate key 'a'"),
        ("1: a\n0x1: b", "line 2, column 1: duplicate key 1"),
        ('{"a": 1, "a": 2}', "line 1, column 10: duplicate key 'a'"),
        ("x: &a {p: 1}\ny: {<<: *a, p: 1, p: 2}", "line 2, column 19: duplicate key 'p'"),
        ("x: &a {p: 1}\ny: {<<: *a, <<: *a}", "line 2, column 13: duplicate key '<<'"),
        ("x: &a {p: 1, p: 2}\ny: {<<: *a}", "line 1, column 14: duplicate key 'p'"),
        ("{[a]: 1}", "line 1, column 2: a key must be text"),
        ("y: {<<: 5}", "line 1, column 9: expected a mapping or list of mappings for merging"),
    ],
)
def test_a_key_stands_once_in_a_mapping(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value).startswith(problem)


def test_a_mapping_may_be_named_within_itself() -> None:
    assert load("a: &a {<<: *a, b: 1}") == {"a": {"b": 1}}
