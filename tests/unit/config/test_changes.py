from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.config.changes import MAX_CHANGES, changes, digest_of

BEFORE = {
    "kind": "K",
    "plugins": [{"type": "a"}, {"type": "b", "name": "mine", "parameters": {"x": 1}}],
    "schedulingProfiles": [{"name": "p", "plugins": [{"pluginRef": "a", "weight": 1}]}],
    "featureGates": ["flowControl"],
}


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param({"kind": "L"}, ['kind: "K" -> "L"'], id="a-value"),
        pytest.param({"kind": None}, ['kind: "K" -> null'], id="nothing-instead"),
        pytest.param({"routing": {"x": 1}}, ['routing: added {"x":1}'], id="a-key-more"),
        pytest.param(
            {"schedulingProfiles": [{"name": "p", "plugins": [{"pluginRef": "a", "weight": 2}]}]},
            ["schedulingProfiles[p].plugins[a].weight: 1 -> 2"],
            id="a-weight-deep-down",
        ),
        pytest.param(
            {"plugins": [{"type": "c"}, *BEFORE["plugins"]]},
            ["plugins[c]: added"],
            id="one-more-at-the-front",
        ),
        pytest.param({"plugins": [{"type": "a"}]}, ["plugins[b]: removed"], id="one-less"),
        pytest.param(
            {"plugins": BEFORE["plugins"][::-1]}, ["plugins: in another order"], id="order"
        ),
        pytest.param(
            {"featureGates": ["flowControl=false"]},
            ['featureGates[0]: "flowControl" -> "flowControl=false"'],
            id="a-list-of-words",
        ),
        pytest.param(
            {"featureGates": []}, ['featureGates: ["flowControl"] -> []'], id="a-shorter-list"
        ),
        pytest.param(
            {"plugins": [{"type": "a"}, {"type": "a", "parameters": {}}]},
            [
                'plugins[1].type: "b" -> "a"',
                "plugins[1].name: removed",
                "plugins[1].parameters.x: removed",
            ],
            id="names-that-tell-nothing-apart",
        ),
    ],
)
def test_a_line_says_where_and_what(change: dict[str, object], lines: list[str]) -> None:
    assert changes(BEFORE, {**BEFORE, **change}) == lines


def test_the_list_and_its_values_are_bounded() -> None:
    before = {f"k{n}": "x" * 1000 for n in range(100)}
    lines = changes(before, {key: value + "y" for key, value in before.items()})
    assert len(lines) == MAX_CHANGES + 1
    assert lines[-1] == f"and {100 - MAX_CHANGES} more"
    assert all(len(line) < 250 for line in lines)


def test_the_digest_is_of_what_is_said_not_how() -> None:
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "type", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(DOCUMENTS, DOCUMENTS)
def test_there_is_a_line_if_and_only_if_the_documents_differ(one: object, two: object) -> None:
    assert bool(changes({"d": one}, {"d": two})) is (digest_of({"d": one}) != digest_of({"d": two}))
