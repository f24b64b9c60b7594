"""Types of flags in the forms that the Go picker takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from epp.core.duration import parse_duration
from epp.core.quantity import parse_bytes


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


class Bytes(click.ParamType[int]):
    name = "quantity"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_bytes(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def switch(name: str, *, default: bool, text: str) -> Callable[[Any], Any]:
    """A boolean flag that is written `--name`, `--name=true` or `--name=false`."""
    return click.option(
        name,
        is_flag=False,
        flag_value="true",
        type=click.BOOL,
        default=default,
        show_default=True,
        help=text,
    )
