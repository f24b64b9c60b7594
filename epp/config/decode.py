"""Plain data to dataclasses, strictly: unknown keys and wrong types are errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from epp.config.errors import ConfigError
from epp.config.plain import without_nulls

T = TypeVar("T")

# What a reader of the document would say, by the kind of a problem.
PLAIN_WORDS: Final[Mapping[str, str]] = {
    "unexpected_keyword_argument": "unknown field",
    "extra_forbidden": "unknown field",
    "missing": "is missing",
    "missing_argument": "is missing",
    **dict.fromkeys(("tuple_type", "list_type"), "is not a list"),
    **dict.fromkeys(("dataclass_type", "dict_type", "mapping_type"), "is not a mapping"),
    "string_type": "is not text",
    **dict.fromkeys(("float_type", "float_parsing"), "is not a number"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "is not a whole number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "is not true or false"),
}
_FIELD_FIRST: Final = re.compile(r"([a-z][A-Za-z]*(?:\.[a-z][A-Za-z]*)*): (.+)", re.DOTALL)


def decode(cls: type[T], data: object, where: str) -> T:
    """`where` is the place of `data` in the document. Raises ConfigError."""
    ready = without_nulls(cls, data, where)
    try:
        decoded: T = _adapter(cls).validate_python(ready)
        return decoded
    except ValidationError as error:
        raise ConfigError(
            _problem(_place(where, problem["loc"]), problem["type"], problem["msg"])
            for problem in error.errors(include_url=False, include_context=False)
        ) from None


_ADAPTERS: Final[dict[type[object], TypeAdapter[Any]]] = {}


def _adapter(cls: type[object]) -> TypeAdapter[Any]:
    """Made once for each class: it takes far longer than its use, and holds up a running loop."""
    found = _ADAPTERS.get(cls)
    if found is None:
        found = _ADAPTERS[cls] = TypeAdapter(cls)
    return found


def _place(where: str, location: tuple[int | str, ...]) -> str:
    place = where
    for step in location:
        place += f"[{step}]" if isinstance(step, int) else f".{step}" if place else str(step)
    return place


def _problem(place: str, kind: str, message: str) -> str:
    """A check of several fields names the one that is wrong first, which belongs to the place."""
    message = message.removeprefix("Value error, ")
    if kind == "value_error" and (named := _FIELD_FIRST.fullmatch(message)) is not None:
        field, message = named.groups()
        place = f"{place}.{field}" if place else field
    text = PLAIN_WORDS.get(kind, message.removeprefix("Input "))
    return f"{place or 'document'}: {text}"
