"""Values of the deciding rooms as plain JSON and back, exactly: the same floats, infinite ones too.

Dataclasses become mappings of their fields, so a field that is added to one is recorded as well.
What is read back has the shape of a template, which gives the fields that an older record lacks.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypeVar

from epp.core.endpoint import Endpoint

T = TypeVar("T")

SET: Final = "$set"
FLOAT: Final = "$float"  # one that JSON lacks
BY_ENDPOINT: Final = "$by_endpoint"
ENDPOINT: Final = "$endpoint"

_AS_THEY_ARE: Final = frozenset({bool, int, str})
_NAMES: Final[dict[type, list[str]]] = {}


class CannotRecord(Exception):
    """A value of a kind that this module does not know; the message says where."""


def name_of(endpoint: Endpoint) -> str:
    return f"{endpoint.namespace}/{endpoint.name}"


def encode(value: object, where: str = "value") -> Any:
    """Raises CannotRecord."""
    if value is None or type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {FLOAT: repr(value)}
    if isinstance(value, Endpoint):
        return {ENDPOINT: name_of(value)}
    if isinstance(value, frozenset | set):
        return {SET: sorted(encode(item, where) for item in value)}
    if isinstance(value, Mapping):
        return _encode_mapping(value, where)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [encode(item, f"{where}[{n}]") for n, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return encode_fields(value, where)
    raise CannotRecord(f"{where}: {type(value).__name__} cannot be recorded")


def encode_fields(value: Any, where: str, without: Sequence[str] = ()) -> dict[str, Any]:
    """Those that its constructor takes."""
    return {
        name: encode(getattr(value, name), f"{where}.{name}")
        for name in field_names(value)
        if name not in without
    }


def field_names(value: Any) -> list[str]:
    """Of a dataclass, those that its constructor takes."""
    names = _NAMES.get(type(value))
    if names is None:
        names = [found.name for found in dataclasses.fields(value) if found.init]
        _NAMES[type(value)] = names
    return names


def decode_fields(
    template: T, plain: Mapping[str, Any], endpoint_named: Callable[[str], Endpoint]
) -> T:
    """A value of the template's class; fields that are not in `plain` are the template's.

    Fields that the class does not have any more are passed over.
    """
    fields = {
        name: _decode_like(getattr(template, name), plain[name], endpoint_named)
        for name in field_names(template)
        if name in plain
    }
    return dataclasses.replace(template, **fields)  # type: ignore[type-var]


def decode(plain: Any, endpoint_named: Callable[[str], Endpoint]) -> Any:
    """What has no template: dataclasses stay mappings, tuples are lists."""
    if isinstance(plain, list):
        return [decode(item, endpoint_named) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if len(plain) == 1:
        [(tag, inner)] = plain.items()
        if tag == SET:
            return frozenset(decode(item, endpoint_named) for item in inner)
        if tag == FLOAT:
            return float(inner)
        if tag == ENDPOINT:
            return endpoint_named(inner)
        if tag == BY_ENDPOINT:
            return {
                endpoint_named(name): decode(item, endpoint_named) for name, item in inner.items()
            }
    return {key: decode(item, endpoint_named) for key, item in plain.items()}


def _encode_mapping(value: Mapping[Any, Any], where: str) -> dict[str, Any]:
    if value and all(isinstance(key, Endpoint) for key in value):
        named = {name_of(key): encode(item, where) for key, item in value.items()}
        return {BY_ENDPOINT: named}
    if not all(isinstance(key, str) for key in value):
        raise CannotRecord(f"{where}: a mapping whose keys are not texts cannot be recorded")
    return {key: encode(item, f"{where}.{key}") for key, item in value.items()}


def _decode_like(template: Any, plain: Any, endpoint_named: Callable[[str], Endpoint]) -> Any:
    if dataclasses.is_dataclass(template) and isinstance(plain, dict):
        return decode_fields(template, plain, endpoint_named)
    found = decode(plain, endpoint_named)
    if isinstance(template, tuple) and isinstance(found, list):
        return tuple(found)
    return type(template)(found) if isinstance(template, Enum) else found
