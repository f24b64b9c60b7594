from __future__ import annotations

import pytest

from epp.extproc.headers import CONTROL, STRIPPED, read_control


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ({}, None),
        ({"x-llm-d-inference-objective": "new"}, "new"),
        ({"x-gateway-inference-objective": "old"}, "old"),
        ({"x-llm-d-inference-objective": "", "x-gateway-inference-objective": "old"}, ""),
    ],
)
def test_the_current_name_hides_the_deprecated_one(
    headers: dict[str, str], value: str | None
) -> None:
    assert read_control(headers, "inference-objective") == value


def test_both_spellings_of_every_control_header_are_stripped() -> None:
    assert {spelling for spellings in CONTROL.values() for spelling in spellings} <= set(STRIPPED)
    assert all(name == name.lower() for name in STRIPPED)
