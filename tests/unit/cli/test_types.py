from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from epp.cli.flags import switch
from epp.cli.types import Bytes, Duration, LogLevel, Names, Refused, Verbosity


@click.command(
    params=[
        switch("--on", default=True, text="A switch."),
        click.Option(["--wait"], type=Duration(), default="1s"),
        click.Option(["--size"], type=Bytes(), default="1Ki"),
        click.Option(["-v", "--v", "v"], type=Verbosity(), default=2),
        click.Option(["--level"], type=LogLevel(), default=""),
        click.Option(["--names"], type=Names(), multiple=True),
        click.Option(["--old"], type=Refused("use the new one")),
    ]
)
def show(
    on: bool, wait: float, size: int, v: int, level: str, names: list[tuple[str, ...]], old: str
) -> None:
    assert not old
    flat = ",".join(name for part in names for name in part)
    click.echo(f"{on} {wait} {size} {v} {level or '-'} {flat or '-'}")


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        ([], "True 1.0 1024 2 - -"),
        (["--on=false"], "False 1.0 1024 2 - -"),
        (["--on"], "True 1.0 1024 2 - -"),
        (["--on", "--v=4"], "True 1.0 1024 4 - -"),
        (["--on=true", "--wait=200ms", "--size=10MiB"], "True 0.2 10485760 2 - -"),
        (["--wait", "1m30s", "--size="], "True 90.0 0 2 - -"),
        (["-v", "4"], "True 1.0 1024 4 - -"),
        (["-v4"], "True 1.0 1024 4 - -"),
        (["-v=4"], "True 1.0 1024 4 - -"),
        (["-v=-1"], "True 1.0 1024 2 - -"),
        (["--v", "-3"], "True 1.0 1024 2 - -"),
        (["--level=DEBUG"], "True 1.0 1024 2 debug -"),
        (["--level", "3"], "True 1.0 1024 2 3 -"),
        (["--names=a,b", "--names", "c,"], "True 1.0 1024 2 - a,b,c"),
    ],
)
def test_the_forms_of_the_go_picker(arguments: list[str], output: str) -> None:
    result = CliRunner().invoke(show, arguments)
    assert result.output.strip() == output


@pytest.mark.parametrize("word", ["1", "t", "T", "TRUE", "true", "True"])
def test_the_words_for_true(word: str) -> None:
    assert CliRunner().invoke(show, ["--on", word]).output.startswith("True ")


@pytest.mark.parametrize("word", ["0", "f", "F", "FALSE", "false", "False"])
def test_the_words_for_false(word: str) -> None:
    assert CliRunner().invoke(show, [f"--on={word}"]).output.startswith("False ")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--on=yes"], "'yes' is not true, false, 1, 0, t or f"),
        (["--wait=soon"], "'soon' is not a duration"),
        (["--size=-1Mi"], "is below zero"),
        (["--size=9999999999Ei"], "is too large"),
        (["-v", "much"], "'much' is not a whole number"),
        (["--level=loud"], "'loud' is not one of debug, info, error, panic or a number above 0"),
        (["--level=0"], "'0' is not one of"),
        (["--level=-1"], "'-1' is not one of"),
        (["--old=x"], "--old': is deprecated and cannot be used; use the new one"),
        (["--old="], "--old': is deprecated and cannot be used"),
    ],
)
def test_what_cannot_be_read_is_named(arguments: list[str], text: str) -> None:
    result = CliRunner().invoke(show, arguments)
    assert result.exit_code == 2
    assert text in result.output
