from __future__ import annotations

import pytest

from epp.core.duration import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("200ms", 0.2),
        ("1.5s", 1.5),
        ("1h30m", 5400),
        ("250us", 0.00025),
        ("2\u00b5s", 2e-6),
        ("2\u03bcs", 2e-6),
        (" 5s ", 5),
        ("+5s", 5),
        ("+0", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "+", "++5s", "+ 5s", "5", "s", "-1s", "1s x", "1d", "1 s", "one"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)
