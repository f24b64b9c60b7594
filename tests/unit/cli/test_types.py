from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from epp.cli.types import Bytes, Duration, switch


@click.command()
@switch("--on", default=True, text="A switch.")
@click.option("--wait", type=Duration(), default="1s")
@click.option("--size", type=Bytes(), default="1Ki")
def show(on: bool, wait: float, size: int) -> None:
    click.echo(f"{on} {wait} {size}")


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        ([], "True 1.0 1024"),
        (["--on=false"], "False 1.0 1024"),
        (["--on"], "True 1.0 1024"),
        (["--on=true", "--wait=200ms", "--size=10MiB"], "True 0.2 10485760"),
        (["--wait", "1m30s"], "True 90.0 1024"),
    ],
)
def test_the_forms_of_the_go_picker(arguments: list[str], output: str) -> None:
    result = CliRunner().invoke(show, arguments)
    assert result.output.strip() == output
