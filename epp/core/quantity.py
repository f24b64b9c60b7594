"""Kubernetes quantities, such as `10MiB`, `25M` or `1G`, as whole numbers."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

SUFFIXES: Final[dict[str, Decimal]] = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
MAX: Final = 2**63 - 1

_FORM: Final = re.compile(
    r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d{1,2}))?([num]|k|Ki|[MGTPE]i?)?"
)


def parse_quantity(text: str) -> int:
    """Rounded up to a whole number. Raises ValueError for another form or out of 0..2^63-1."""
    match = _FORM.fullmatch(text.strip())
    if match is None or (match[2] is not None and match[3]):
        raise ValueError(f"{text!r} is not a quantity such as 500, 25M or 10Mi")
    number, exponent, suffix = match.groups()
    value = Decimal(number) * SUFFIXES[suffix or ""]
    if exponent:
        value = value.scaleb(int(exponent))
    whole = int(value.to_integral_value(rounding="ROUND_CEILING"))
    if value < 0:
        raise ValueError(f"{text!r} is below zero")
    if whole > MAX:
        raise ValueError(f"{text!r} is too large")
    return whole


def parse_bytes(text: str) -> int:
    """A quantity that may end in B, as in `10MiB` or `25MB`."""
    return parse_quantity(text.strip().removesuffix("B").removesuffix("b"))
