"""Plain data made ready for strict decoding: null is unset, as in Go, and true is no number."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from epp.config.errors import ConfigError

WORDS: Final[Mapping[object, str]] = {str: "text", int: "a number", float: "a number"}


def without_nulls(cls: type[object], data: object, where: str) -> object:
    """A copy without the fields that are null. Raises ConfigError for what no decoder would name.

    A null in a list or in a map of free keys stays: there it is a value, and a wrong one.
    """
    reader = _Reader([])
    found = reader.read(cls, data, where)
    if reader.problems:
        raise ConfigError(reader.problems)
    return found


class _Reader:
    def __init__(self, problems: list[str]) -> None:
        self.problems = problems

    def read(self, hint: object, data: object, where: str) -> object:
        choices = _choices(hint)
        if len(choices) > 1:
            return self._one_of(choices, data, where)
        [hint] = choices
        if isinstance(data, dict):
            return self._mapping(hint, data, where)
        if isinstance(data, list) and (item := _item(hint)) is not None:
            return [self.read(item, entry, f"{where}[{n}]") for n, entry in enumerate(data)]
        if isinstance(data, bool) and hint in (int, float):
            self.problems.append(f"{where}: is not a number")
        return data

    def _one_of(self, choices: tuple[object, ...], data: object, where: str) -> object:
        """Of scalars."""
        words = {choice: WORDS[choice] for choice in choices if choice in WORDS}
        wrong = isinstance(data, bool | list | dict) and bool not in choices
        if wrong and len(words) == len(choices):
            self.problems.append(f"{where}: is not {' or '.join(dict.fromkeys(words.values()))}")
        return data

    def _mapping(self, hint: object, data: dict[object, object], where: str) -> object:
        place = f"{where}." if where else ""
        for key in data:
            if not isinstance(key, str):
                self.problems.append(f"{where or 'document'}: the key {_spelt(key)} is not text")
        if isinstance(hint, type) and is_dataclass(hint):
            hints = _fields(hint)
            return {
                key: self.read(hints.get(str(key), Any), value, f"{place}{key}")
                for key, value in data.items()
                if value is not None or key not in hints
            }
        return data


def _spelt(key: object) -> str:
    """As it may stand in YAML, where `on` and `yes` are true."""
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return str(key)


def _choices(hint: object) -> tuple[object, ...]:
    """What a value may be, besides nothing."""
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(choice for choice in get_args(hint) if choice is not types.NoneType)
    return (hint,)


def _item(hint: object) -> object | None:
    """What the entries of a list are."""
    arguments = get_args(hint)
    return arguments[0] if arguments and get_origin(hint) in (tuple, list) else None


@cache
def _fields(cls: type[Any]) -> Mapping[str, object]:
    """The type of each field by its name in the document."""
    spelt: Callable[[str], str] = getattr(cls, "__pydantic_config__", {}).get(
        "alias_generator", str
    )
    hints = get_type_hints(cls)
    return {spelt(field.name): hints[field.name] for field in fields(cls) if field.init}
