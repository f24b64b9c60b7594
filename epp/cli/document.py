"""Reads the configuration document that the flags name; ends the process where it is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from epp.config.build import read_configuration
from epp.config.errors import ConfigError
from epp.config.settings import Configuration


def read_document(config_file: str, config_text: str) -> Configuration:
    """Status 1 and one line a problem for a wrong document; without one, the built-in default."""
    if config_file and config_text:
        raise click.UsageError("--config-file and --config-text cannot both be given")
    where, text = "--config-text", config_text or None
    if config_file:
        where = config_file
        try:
            text = Path(config_file).read_text(encoding="utf-8")
        except OSError as error:
            click.echo(f"epp: {where}: {error.strerror or error}", err=True)
            sys.exit(1)
        except ValueError as error:  # not UTF-8, or a path with a NUL
            click.echo(f"epp: {where}: {error}", err=True)
            sys.exit(1)
    try:
        return read_configuration(text)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"epp: {where}: {problem}", err=True)
        sys.exit(1)
