"""Numbers as Go's Prometheus client writes them: dashboards select buckets by exactly that text."""

from __future__ import annotations

import math
from typing import Final

_PLAIN: Final = 1e6  # from here on Go writes an exponent, and Python only from 1e16 on


def number_text(value: float) -> str:
    """The shortest text that is read as the same number: 1, 2.5, 1e+06, +Inf."""
    if -_PLAIN < value < _PLAIN:
        whole = int(value)
        return str(whole) if whole == value else repr(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if "e" in text:
        return text
    digits = text.removeprefix("-").removesuffix(".0").replace(".", "").rstrip("0")
    return f"{value:.{len(digits) - 1}e}"
