from __future__ import annotations

import pytest

from epp.scheduling.plugins.label_selector_filter import (
    LabelSelectorFilter,
    Operator,
    Requirement,
)
from tests.helpers.build import a_request, an_endpoint

A = {"role": "decode", "zone": "a"}
B = {"role": "prefill"}


@pytest.mark.parametrize(
    ("selector", "kept"),
    [
        pytest.param(LabelSelectorFilter(), [A, B], id="empty-matches-all"),
        pytest.param(LabelSelectorFilter({"role": "decode"}), [A], id="match-labels"),
        pytest.param(LabelSelectorFilter({"role": "decode", "zone": "b"}), [], id="all-must-match"),
        pytest.param(
            LabelSelectorFilter(
                match_expressions=(Requirement("role", Operator.IN, ("prefill", "x")),)
            ),
            [B],
            id="in",
        ),
        pytest.param(
            LabelSelectorFilter(match_expressions=(Requirement("zone", Operator.NOT_IN, ("a",)),)),
            [B],
            id="not-in-holds-without-the-label",
        ),
        pytest.param(
            LabelSelectorFilter(match_expressions=(Requirement("zone", Operator.EXISTS),)),
            [A],
            id="exists",
        ),
        pytest.param(
            LabelSelectorFilter(match_expressions=(Requirement("zone", Operator.DOES_NOT_EXIST),)),
            [B],
            id="does-not-exist",
        ),
    ],
)
def test_keeps(selector: LabelSelectorFilter, kept: list[dict[str, str]]) -> None:
    endpoints = [an_endpoint(labels=A), an_endpoint(labels=B)]
    assert [e.labels for e in selector.keep(a_request(), endpoints)] == kept


def test_all_requests_fit_alike() -> None:
    selector = LabelSelectorFilter()
    assert selector.fit_key(a_request()) == selector.fit_key(a_request())


@pytest.mark.parametrize(("operator", "values"), [(Operator.IN, ()), (Operator.EXISTS, ("x",))])
def test_values_where_they_belong(operator: Operator, values: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="values"):
        Requirement("k", operator, values)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        pytest.param({"-role": "decode"}, "'-role' is not a label key", id="key"),
        pytest.param({"": "decode"}, "'' is not a label key", id="empty-key"),
        pytest.param({"LLM/role": "decode"}, "'LLM/role' is not a label key", id="prefix"),
        pytest.param({"/role": "decode"}, "'/role' is not a label key", id="empty-prefix"),
        pytest.param({"role": "de code"}, "'de code' is not a label value", id="value"),
        pytest.param({"role": "x" * 64}, "is not a label value", id="long-value"),
        pytest.param({"role": "x\n"}, "is not a label value", id="line-end"),
    ],
)
def test_what_could_never_match_is_refused(labels: dict[str, str], text: str) -> None:
    with pytest.raises(ValueError, match=f"matchLabels: .*{text}"):
        LabelSelectorFilter(labels)
    (key, value), *_ = labels.items()
    with pytest.raises(ValueError, match=f"matchExpressions: .*{text}"):
        Requirement(key, Operator.IN, (value,))


def test_labels_as_they_occur() -> None:
    LabelSelectorFilter({"llm-d.ai/role": "prefill-decode", "app.kubernetes.io/name": "", "A": "9"})
