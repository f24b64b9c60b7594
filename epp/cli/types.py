"""Types of flags in the forms that the Go picker takes them."""

from __future__ import annotations

import math
from typing import Any

import click

from epp.core.duration import parse_duration
from epp.core.quantity import parse_bytes

TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
DEFAULT_VERBOSITY = 2


class Duration(click.ParamType[float]):
    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Finite(click.FloatRange):
    """A number in its range; `nan` and `inf` are in none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class Bytes(click.ParamType[int]):
    """A size; nothing at all is 0, which stands for the default."""

    name = "quantity"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if value == "":
            return 0
        try:
            return parse_bytes(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Boolean(click.ParamType[bool]):
    """The words of Go's `strconv.ParseBool`."""

    name = "boolean"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        if isinstance(value, bool):
            return value
        if value not in TRUE | FALSE:
            self.fail(f"{value!r} is not true, false, 1, 0, t or f", param, ctx)
        return value in TRUE


class Verbosity(click.ParamType[int]):
    """Below zero is the default, and `-v=4` is 4, as in Go."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(str(value).removeprefix("="))
        except ValueError:
            self.fail(f"{value!r} is not a whole number", param, ctx)
        return number if number >= 0 else DEFAULT_VERBOSITY


class LogLevel(click.ParamType[str]):
    """A word, or a number above zero that counts as `-v`."""

    name = "level"
    words = ("debug", "info", "error", "panic")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        word = str(value).lower()
        number = int(word) if word.isascii() and word.isdigit() else 0
        if word not in ("", *self.words) and number <= 0:
            known = ", ".join(self.words)
            self.fail(f"{value!r} is not one of {known} or a number above 0", param, ctx)
        return word


class Names(click.ParamType[tuple[str, ...]]):
    """A list with commas; the flag may also be given several times."""

    name = "list"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(name for part in str(value).split(",") if (name := part.strip()))


class Refused(click.ParamType[str]):
    """A flag of former times that nothing reads any more: to give it is an error."""

    name = "text"

    def __init__(self, instead: str) -> None:
        self.instead = instead

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value is not None:
            self.fail(f"is deprecated and cannot be used; {self.instead}", param, ctx)
        return ""
