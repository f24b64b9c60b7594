"""`epp check-config`: what a document and flags come to, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from epp.cli.document import read_document
from epp.cli.given import flag_differences
from epp.cli.settings import serve_settings, warnings
from epp.config.settings import Configuration
from epp.scheduling.profile import Profile


def check(file: str, flags: Mapping[str, Any], given: Mapping[str, object]) -> None:
    """Ends the process with status 1 and one line a problem, or 2 where flags do not fit.

    Without a file, the document is the one that the flags name.
    """
    configuration = read_document(
        file or flags["config_file"], "" if file else flags["config_text"]
    )
    file_discovery = configuration.discovery is not None
    settings = serve_settings(flags, own_discovery=file_discovery)
    click.echo(f"{file or flags['config_file'] or 'configuration'}: valid")
    _describe(configuration)
    click.echo(f"tracing: {settings.tracing.says}")
    for warning in (*warnings(flags), *settings.tracing.problems):
        click.echo(f"warning: {warning}")
    differences = (
        *flag_differences(given, file_discovery=file_discovery),
        *configuration.differences,
    )
    if differences:
        click.echo("differences from the Go picker:")
        for difference in differences:
            click.echo(f"  {difference}")


def _describe_profile(profile: Profile) -> None:
    click.echo(f"profile {profile.name}:")
    for filter_ in profile.filters:
        click.echo(f"  filter {filter_}")
    for preference in profile.preferences:
        click.echo(f"  preference {preference}")
    for weighted in profile.scorers:
        click.echo(f"  scorer {weighted.name}, weight {weighted.weight:g}: {weighted.scorer}")
    click.echo(f"  picker {profile.picker}")


def _describe(configuration: Configuration) -> None:
    staged = configuration.staged
    if staged is None:
        _describe_profile(configuration.profile)
    else:
        click.echo(f"profile handler {staged.name}: {staged.handler}")
        for stage in staged.for_all or ():
            asked = f", if {stage.decider} says so" if stage.decider else ""
            click.echo(f"  {stage.role} by profile {stage.profile}{asked}")
        for name, decider in staged.deciders.items():
            click.echo(f"  decider {name}: {decider}")
        for profile in staged.profiles.values():
            _describe_profile(profile)
    for shadow in configuration.shadows:
        click.echo(f"shadow, at most {shadow.max_loop_share * 100:g} % of the loop's time:")
        _describe_profile(shadow.profile)
    if not configuration.parses_bodies:
        click.echo("bodies: passed on, none is parsed")
    click.echo(f"saturation: {configuration.detector}")
    click.echo(f"flow control: {configuration.flow_control or 'off: nobody waits'}")
