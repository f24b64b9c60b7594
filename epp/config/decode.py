"""Plain data to dataclasses, strictly: unknown keys and wrong types are errors."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from epp.config.errors import ConfigError

T = TypeVar("T")


def decode(cls: type[T], data: object, where: str) -> T:
    """`where` is the place of `data` in the document. Raises ConfigError."""
    try:
        decoded: T = _adapter(cls).validate_python(data)
        return decoded
    except ValidationError as error:
        raise ConfigError(
            f"{_place(where, problem['loc'])}: {_text(problem['type'], problem['msg'])}"
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
    return place or "document"


def _text(kind: str, message: str) -> str:
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return "unknown field"
    if kind in ("missing", "missing_argument"):
        return "is missing"
    return message.removeprefix("Value error, ")
