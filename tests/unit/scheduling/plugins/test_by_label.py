from __future__ import annotations

import pytest

from epp.scheduling.plugins.by_label import ByLabel
from tests.helpers.build import a_request, an_endpoint

POOL = [
    an_endpoint("a", labels={"zone": "a"}),
    an_endpoint("b", labels={"zone": "b"}),
    an_endpoint("c", labels={"zone": "c"}),
    an_endpoint("none"),
]


@pytest.mark.parametrize(
    ("filter_", "kept"),
    [
        (ByLabel("zone", ("a", "c")), ["a", "c"]),
        (ByLabel("zone", ("b",), allows_no_label=True), ["b", "none"]),
        (ByLabel("zone", (), allows_no_label=True), ["none"]),
        (ByLabel("zone", ("d",)), []),
    ],
)
def test_those_with_one_of_the_values_stay(filter_: ByLabel, kept: list[str]) -> None:
    assert [endpoint.name for endpoint in filter_.keep(a_request(), POOL)] == kept


@pytest.mark.parametrize(("label", "text"), [("", "label: is empty"), ("zone", "validValues")])
def test_what_keeps_nothing_is_an_error(label: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ByLabel(label)
