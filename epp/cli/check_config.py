"""`epp check-config FILE`: what a document comes to, or what is wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from epp.config.build import read_configuration
from epp.config.errors import ConfigError


def check(file: Path) -> None:
    """Ends the process with status 1 and one line a problem."""
    try:
        configuration = read_configuration(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        click.echo(f"{file}: not UTF-8: {error}", err=True)
        sys.exit(1)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"{file}: {problem}", err=True)
        sys.exit(1)
    profile = configuration.profile
    click.echo(f"{file}: valid")
    click.echo(f"profile {profile.name}:")
    for filter_ in profile.filters:
        click.echo(f"  filter {filter_}")
    for weighted in profile.scorers:
        click.echo(f"  scorer {weighted.name}, weight {weighted.weight:g}: {weighted.scorer}")
    click.echo(f"  picker {profile.picker}")
    click.echo(f"saturation: {configuration.detector}")
    click.echo(f"flow control: {configuration.flow_control or 'off: nobody waits'}")
    if configuration.differences:
        click.echo("differences from the Go picker:")
        for difference in configuration.differences:
            click.echo(f"  {difference}")
