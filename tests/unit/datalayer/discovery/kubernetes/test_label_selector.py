from __future__ import annotations

import pytest

from epp.datalayer.discovery.kubernetes.label_selector import check_label_selector, text_of


@pytest.mark.parametrize(
    "text",
    [
        "app=model",
        "app==model",
        "app != model",
        "app",
        "!app",
        "! app",
        "app in (a,b)",
        "app notin (a, b),tier=x",
        "app in ()",
        "example.com/role=decode,llm-d.ai/variant!=old",
        "generation>3",
        "generation < -1",
        "empty=",
        "a=b , c in (d,e) ,!f",
    ],
)
def test_what_the_api_server_takes(text: str) -> None:
    check_label_selector(text)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param("", "is empty", id="empty"),
        pytest.param("  ", "is empty", id="blank"),
        pytest.param("a=b,", "'': a requirement is missing", id="trailing-comma"),
        pytest.param("a=b,,c", "a requirement is missing", id="double-comma"),
        pytest.param("a=b c", "'b c' is not a label value", id="space-in-value"),
        pytest.param("-a=b", "'-a' is not a label key", id="key-begins-with-dash"),
        pytest.param("UPPER.com/a=b", "'UPPER.com/a' is not a label key", id="prefix-in-capitals"),
        pytest.param("a/b/c=d", "'a/b/c' is not a label key", id="two-slashes"),
        pytest.param("a in b", "'a in b' is not a label key", id="no-brackets"),
        pytest.param("a in (b", "'a in (b' is not a label key", id="open-bracket"),
        pytest.param("a in (b,-)", "'-' is not a label value", id="bad-value-of-a-set"),
        pytest.param("a>x", "'x' is not an integer", id="comparison-with-a-text"),
        pytest.param("a=" + "v" * 64, "is too long", id="long-value"),
        pytest.param("k" * 64, "is too long", id="long-key"),
        pytest.param("!", "'' is not a label key", id="nothing-negated"),
    ],
)
def test_what_it_refuses_is_named(text: str, named: str) -> None:
    with pytest.raises(ValueError, match="label selector: ") as caught:
        check_label_selector(text)
    assert named in str(caught.value)


def test_labels_as_a_selector() -> None:
    assert text_of({"b": "2", "a": "1"}) == "a=1,b=2"
    assert text_of({"a": ""}) == "a="
