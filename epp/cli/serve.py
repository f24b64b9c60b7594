"""The picker process: read the configuration, assemble, run, and say clearly why it cannot."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Mapping
from typing import Any

import click
import uvloop

from epp.app.lifecycle import run
from epp.app.wiring import NoDiscovery, assemble
from epp.cli.document import read_document
from epp.cli.errors import leaves
from epp.cli.given import flag_differences
from epp.cli.settings import log_threshold, serve_settings, warnings
from epp.datalayer.discovery.document import EndpointsFileError
from epp.datalayer.discovery.kubernetes.client import ClusterConfigError
from epp.extproc.transport.tls import CertificateError
from epp.telemetry.logs import LineWriter, configure

log = logging.getLogger(__name__)


def serve(flags: Mapping[str, Any], given: Mapping[str, object]) -> None:
    """Ends with status 0 after a drain, 1 with a message if it cannot serve, 2 for wrong flags."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it is to reload, also before we can
    configuration = read_document(flags["config_file"], flags["config_text"])
    file_discovery = configuration.discovery is not None
    settings = serve_settings(flags, own_discovery=file_discovery)
    writer = LineWriter()
    configure(log_threshold(flags).level, writer)
    for warning in warnings(flags):
        log.warning("%s", warning)
    of_flags = flag_differences(given, file_discovery=file_discovery)
    for difference in (*of_flags, *configuration.differences):
        log.info("differs from the Go picker: %s", difference)
    try:
        shells = assemble(settings, configuration, writer)
        uvloop.run(run(shells))
    except* (
        NoDiscovery,
        CertificateError,
        EndpointsFileError,
        ClusterConfigError,
        OSError,
    ) as group:
        writer.close()
        for error in leaves(group):
            click.echo(f"epp: {error}", err=True)
        sys.exit(1)
    writer.close()
