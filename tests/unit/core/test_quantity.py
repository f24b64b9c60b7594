from __future__ import annotations

import pytest

from epp.core.quantity import parse_bytes, parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("500", 500),
        ("25M", 25_000_000),
        ("1G", 10**9),
        ("10Mi", 10 << 20),
        ("1.5Ki", 1536),
        ("2e3", 2000),
        (" 7 ", 7),
        ("1.2", 2),
        (".5Gi", 1 << 29),
        ("5.Gi", 5 << 30),
        ("1500m", 2),
        ("+3u", 1),
    ],
)
def test_quantities(text: str, value: int) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize(
    "text", ["", ".", ".Gi", "1e3m", "ten", "-1Mi", "1Q", "1e3M", "10E", "8Ei", "0x10", "1ki"]
)
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match=r"quantity|zero|large"):
        parse_quantity(text)


@pytest.mark.parametrize(("text", "value"), [("10MiB", 10 << 20), ("25MB", 25_000_000), ("64", 64)])
def test_bytes_may_say_so(text: str, value: int) -> None:
    assert parse_bytes(text) == value
