"""Files that a command writes at its end: what is in the way is told before it begins."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click


class OutputFile(click.ParamType[str]):
    """A path that can be written, as far as can be seen; empty is none. Suffixes without dots."""

    name = "file"

    def __init__(self, suffixes: Sequence[str] = ()) -> None:
        self.suffixes = suffixes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = Path(value)
        if value == "":
            return ""
        if path.is_dir():
            self.fail(f"{value!r} is a folder", param, ctx)
        if not path.parent.is_dir():
            self.fail(f"{value!r}: there is no folder {str(path.parent)!r}", param, ctx)
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            self.fail(f"{value!r} cannot be written", param, ctx)
        if self.suffixes and path.suffix.removeprefix(".").lower() not in self.suffixes:
            known = ", ".join(f".{suffix}" for suffix in self.suffixes)
            self.fail(f"{value!r} does not end in one of {known}", param, ctx)
        return str(value)


@contextmanager
def writing(flag: str, path: str) -> Iterator[None]:
    """Where the file cannot be written after all, an error that names both."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"{flag}: {path}: {error.strerror or error}") from None
