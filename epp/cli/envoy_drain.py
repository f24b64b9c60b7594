"""`epp envoy-drain`: when the Pod is told to end, Envoy tells its clients to go elsewhere.

Envoy itself ends at once on SIGTERM and cuts what runs. So its container waits before that, and
this process, in another container of the Pod, gets the signal in time.
"""

from __future__ import annotations

import http.client
import signal
import sys

import click

from epp.cli.flags import flag

# Answers say `connection: close` or GOAWAY from now on, and the listener stays open.
DRAIN = "/drain_listeners?graceful&skip_exit"
TIMEOUT_SECONDS = 5.0


@click.command(
    "envoy-drain",
    params=[flag("--admin", default="127.0.0.1:19000", text="Envoy's admin interface.")],
)
def envoy_drain(admin: str) -> None:
    """Wait for SIGTERM, then have an Envoy close its clients' connections one by one."""
    awaited = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    click.echo(f"waiting for SIGTERM to drain {admin}", err=True)
    signal.sigwait(awaited)
    try:
        connection = http.client.HTTPConnection(admin, timeout=TIMEOUT_SECONDS)
        connection.request("POST", DRAIN)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        click.echo(f"epp envoy-drain: --admin {admin}: {error}", err=True)
        sys.exit(1)
    if status != http.HTTPStatus.OK:
        click.echo(f"epp envoy-drain: --admin {admin}: it answers {status}", err=True)
        sys.exit(1)
    click.echo("draining", err=True)
