"""The picker process: read the configuration, assemble, run, and say clearly why it cannot."""

from __future__ import annotations

import gc
import logging
import sys
from pathlib import Path

import click
import uvloop

from epp.app.lifecycle import run
from epp.app.settings import ServeSettings
from epp.app.wiring import NoDiscovery, assemble
from epp.config.build import read_configuration
from epp.config.errors import ConfigError
from epp.config.settings import Configuration
from epp.datalayer.discovery.document import EndpointsFileError
from epp.datalayer.discovery.kubernetes.client import ClusterConfigError
from epp.extproc.transport.tls import CertificateError
from epp.telemetry.logs import LineWriter, configure, level_of

log = logging.getLogger(__name__)


def serve(settings: ServeSettings, config_file: str, config_text: str, verbosity: int) -> None:
    """Ends with status 0 after a drain, 1 with a message if it cannot serve, 2 for wrong flags."""
    if config_file and config_text:
        raise click.UsageError("--config-file and --config-text cannot both be given")
    configuration = _read(config_file, config_text)
    writer = LineWriter()
    configure(level_of(verbosity), writer)
    for difference in configuration.differences:
        log.info("differs from the Go picker: %s", difference)
    try:
        shells = assemble(settings, configuration, writer)
        # What is loaded now stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        uvloop.run(run(shells))
    except* (
        NoDiscovery,
        CertificateError,
        EndpointsFileError,
        ClusterConfigError,
        OSError,
    ) as group:
        writer.close()
        for error in _leaves(group):
            click.echo(f"epp: {error}", err=True)
        sys.exit(1)
    writer.close()


def _read(config_file: str, config_text: str) -> Configuration:
    where, text = "--config-text", config_text or None
    if config_file:
        where = config_file
        try:
            text = Path(config_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            click.echo(f"epp: --config-file: {error}", err=True)
            sys.exit(1)
    try:
        return read_configuration(text)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"epp: {where}: {problem}", err=True)
        sys.exit(1)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
