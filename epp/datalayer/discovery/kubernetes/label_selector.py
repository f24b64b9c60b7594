"""Label selectors in their text form. The API server matches; here they are checked and written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_PREFIX: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_NAME: Final = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_KEY: Final = re.compile(rf"((?P<prefix>{_PREFIX})/)?(?P<name>{_NAME})")
_VALUE: Final = re.compile(rf"({_NAME})?")
_SET: Final = re.compile(r"(?P<key>\S+)\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)")
_COMPARISON: Final = re.compile(r"(?P<key>[^=!<>\s]+)\s*(?P<operator>==|=|!=|<|>)\s*(?P<value>.*)")
# A comma inside of brackets separates values, not requirements.
_SEPARATOR: Final = re.compile(r",(?![^()]*\))")


def check_label_selector(text: str) -> None:
    """Raises ValueError that names the requirement which the API server would refuse."""
    if not text.strip():
        raise ValueError("label selector: is empty, it would select every pod")
    for part in _SEPARATOR.split(text):
        try:
            _check_requirement(part.strip())
        except ValueError as error:
            raise ValueError(f"label selector: {part.strip()!r}: {error}") from None


def text_of(labels: Mapping[str, str]) -> str:
    """The selector of whatever has all these labels."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _check_requirement(requirement: str) -> None:
    if not requirement:
        raise ValueError("a requirement is missing")
    if requirement.startswith("!"):
        _check_key(requirement[1:].strip())
    elif among := _SET.fullmatch(requirement):
        _check_key(among["key"])
        for value in among["values"].split(","):
            _check_value(value.strip())
    elif comparison := _COMPARISON.fullmatch(requirement):
        _check_key(comparison["key"])
        value = comparison["value"].strip()
        if comparison["operator"] in "<>":
            _check_integer(value)
        else:
            _check_value(value)
    else:
        _check_key(requirement)


def _check_key(key: str) -> None:
    found = _KEY.fullmatch(key)
    if found is None:
        raise ValueError(f"{key!r} is not a label key")
    if len(found["name"]) > 63 or len(found["prefix"] or "") > 253:
        raise ValueError(f"label key {key!r} is too long")


def _check_value(value: str) -> None:
    if not _VALUE.fullmatch(value):
        raise ValueError(f"{value!r} is not a label value")
    if len(value) > 63:
        raise ValueError(f"label value {value!r} is too long")


def _check_integer(value: str) -> None:
    if not re.fullmatch(r"-?[0-9]{1,19}", value):
        raise ValueError(f"{value!r} is not an integer")
