"""Reads fields of decoded JSON. What is absent is absent; what is wrong is named by its path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, cast

Json: TypeAlias = Mapping[str, object]

_NOTHING: Json = {}


class BadField(ValueError):
    """Path of the field and what is wrong with it."""


def mapping_at(parent: Json, key: str, path: str = "") -> Json:
    """Empty if the field is absent."""
    value = parent.get(key)
    if isinstance(value, dict):
        return value
    if value is None:
        return _NOTHING
    raise _unexpected(path, key, "a mapping", value)


def list_at(parent: Json, key: str, path: str = "") -> list[object]:
    """Empty if the field is absent."""
    value = parent.get(key)
    if isinstance(value, list):
        return value
    if value is None:
        return []
    raise _unexpected(path, key, "a list", value)


def text_at(parent: Json, key: str, path: str = "") -> str:
    """Empty if the field is absent."""
    value = parent.get(key)
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    raise _unexpected(path, key, "a text", value)


def name_at(parent: Json, key: str, path: str = "") -> str:
    """A text that must be there."""
    value = text_at(parent, key, path)
    if not value:
        raise BadField(f"{_join(path, key)}: is missing")
    return value


def integer_at(
    parent: Json, key: str, path: str, lowest: int, highest: int, absent: int | None = None
) -> int | None:
    """`absent` if the field is not there; bounds are inclusive."""
    value = parent.get(key)
    if value is None:
        return absent
    if not isinstance(value, int) or isinstance(value, bool):
        raise _unexpected(path, key, "an integer", value)
    if not lowest <= value <= highest:
        raise BadField(f"{_join(path, key)}: {value} is not in {lowest}..{highest}")
    return value


def texts_at(parent: Json, key: str, path: str = "") -> Mapping[str, str]:
    """A mapping of texts to texts, as labels are."""
    found = mapping_at(parent, key, path)
    for name, value in found.items():
        if not isinstance(value, str):
            raise _unexpected(_join(path, key), name, "a text", value)
    return cast("Mapping[str, str]", found)


def as_mapping(value: object, path: str) -> Json:
    if isinstance(value, dict):
        return value
    raise BadField(f"{path}: a mapping is expected, not {type(value).__name__}")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _unexpected(path: str, key: str, expected: str, value: object) -> BadField:
    return BadField(f"{_join(path, key)}: {expected} is expected, not {type(value).__name__}")
