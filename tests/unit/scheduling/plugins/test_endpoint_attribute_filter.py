from __future__ import annotations

import pytest

from epp.scheduling.plugins.endpoint_attribute_filter import (
    Comparison,
    EndpointAttributeFilter,
    Operator,
    Threshold,
)
from tests.helpers.build import a_request, an_endpoint

POOL = [
    *(an_endpoint(str(number), custom={"heat": number}) for number in (1.0, 2.0, 3.0)),
    an_endpoint("?"),
]


def kept(op: Operator, value: float, **fields: object) -> str:
    comparison = Comparison(Threshold(op, value))
    filter_ = EndpointAttributeFilter("heat", comparison, **fields)  # type: ignore[arg-type]
    assert filter_.fit_key(a_request()) == filter_.fit_key(a_request())
    return "".join(endpoint.name[0] for endpoint in filter_.keep(a_request(), POOL))


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (Operator.LESS_THAN, "1"),
        (Operator.LESS_THAN_OR_EQUAL, "12"),
        (Operator.GREATER_THAN, "3"),
        (Operator.GREATER_THAN_OR_EQUAL, "23"),
        (Operator.EQUAL, "2"),
        (Operator.NOT_EQUAL, "13"),
    ],
)
def test_those_that_compare_as_wanted_stay(op: Operator, expected: str) -> None:
    assert kept(op, 2.0, on_missing="Fail") == expected
    assert kept(op, 2.0) == f"{expected}?"


@pytest.mark.parametrize(("fallback", "expected"), [(False, ""), (True, "123?")])
def test_where_none_compares_as_wanted(fallback: bool, expected: str) -> None:
    fields = {"on_missing": "Fail", "fallback_on_empty": fallback}
    assert kept(Operator.GREATER_THAN, 9.0, **fields) == expected


def test_wrong_parameters() -> None:
    with pytest.raises(ValueError, match="attribute: is empty"):
        EndpointAttributeFilter("", Comparison(Threshold(Operator.EQUAL, 1.0)))
    with pytest.raises(ValueError, match="value: nan"):
        Threshold(Operator.EQUAL, float("nan"))
