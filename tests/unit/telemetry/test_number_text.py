from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.telemetry.number_text import number_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (-1.0, "-1"),
        (2.5, "2.5"),
        (0.00205, "0.00205"),
        (0.0001, "0.0001"),
        (0.00005, "5e-05"),
        (32778.0, "32778"),
        (524288.0, "524288"),
        (999999.5, "999999.5"),
        (1e6, "1e+06"),
        (-1e6, "-1e+06"),
        (1048576.0, "1.048576e+06"),
        (1073741824.0, "1.073741824e+09"),
        (1795239369.125, "1.795239369125e+09"),
        (1e10, "1e+10"),
        (1e16, "1e+16"),
        (1e100, "1e+100"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
def test_texts_are_those_of_go(value: float, text: str) -> None:
    """By strconv.FormatFloat(value, 'g', -1, 64)."""
    assert number_text(value) == text


@given(st.floats(allow_nan=False))
def test_a_text_is_read_as_the_same_number(value: float) -> None:
    assert float(number_text(value)) == value
