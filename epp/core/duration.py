"""Durations in Go's notation, such as `1h30m`, `200ms` or `1.5s`, as seconds."""

from __future__ import annotations

import re
from typing import Final

UNITS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "\u00b5s": 1e-6,  # the micro sign
    "\u03bcs": 1e-6,  # the Greek letter
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|[u\u00b5\u03bc]s|ms|s|m|h)")


def parse_duration(text: str) -> float:
    """Seconds, not negative. Raises ValueError for another form."""
    text = text.strip()
    parts = text.removeprefix("+")
    if parts == "0":
        return 0.0
    total, position = 0.0, 0
    for part in _PART.finditer(parts):
        if part.start() != position:
            break
        total += float(part[1]) * UNITS[part[2]]
        position = part.end()
    if not parts or position != len(parts):
        raise ValueError(f"{text!r} is not a duration such as 200ms, 1.5s or 1h30m")
    return total
