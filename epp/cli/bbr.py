"""`epp bbr`: the body-based router, with the flags of the Go one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from epp.cli.types import Bytes, Duration, switch

PORT = click.IntRange(0, 65535)
# A gateway sends a buffered body, and pieces of any size, in one message.
LEAST_MESSAGE_BYTES = 64 << 20
OVERHEAD_BYTES = 64 << 10  # what a message has besides the body: metadata, attributes


@click.command()
@click.option("--host", default="0.0.0.0", show_default=True, help="Address of all ports.")
@click.option("--grpc-port", type=PORT, default=9004, show_default=True, help="ext-proc")
@click.option("--grpc-health-port", type=PORT, default=9005, show_default=True, help="health")
@click.option("--metrics-port", type=PORT, default=9090, show_default=True, help="HTTP")
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="TYPE:NAME[:JSON]",
    help="body-field-to-header or base-model-to-header; without any, both for the model.",
)
@click.option(
    "--base-model-map",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the base models and their adapters; followed.",
)
@click.option(
    "--max-body-bytes",
    type=Bytes(),
    default="64Mi",
    show_default=True,
    help="Most of a body that is held until the model is found.",
)
@click.option(
    "--drain-timeout",
    type=Duration(),
    default="5s",
    show_default=True,
    help="How long to serve on after SIGTERM.",
)
@click.option(
    "--transport",
    type=click.Choice(["http2", "grpcio"]),
    default="http2",
    show_default=True,
    help="What serves the gRPC ports: our own HTTP/2, or grpcio.",
)
@switch("--secure-serving", default=True, text="TLS on the ext-proc port.")
@click.option("--cert-path", default="", help="Folder with tls.crt and tls.key, else self-signed.")
@switch("--enable-cert-reload", default=False, text="Use a renewed certificate.")
@switch("--health-checking", default=False, text="The health service also on the ext-proc port.")
@switch("--streaming", default=False, text="Accepted: the gateway says how it sends bodies.")
@switch("--metrics-endpoint-auth", default=True, text="Accepted; the metrics page is open.")
@switch("--tracing", default=True, text="Accepted; no spans in this version.")
@switch("--enable-pprof", default=True, text="Accepted; no effect.")
@click.option(
    "-v", "--v", "v", type=int, default=2, show_default=True, help="0 warnings to 4 each request."
)
@click.option("--zap-encoder", default="", hidden=True)
@click.option("--zap-log-level", default="", hidden=True)
@click.option("--zap-devel", default="", hidden=True)
@click.option("--zap-stacktrace-level", default="", hidden=True)
@click.option("--zap-time-encoding", default="", hidden=True)
def bbr(**flags: Any) -> None:
    """The body-based router: sets X-Gateway-Model-Name before the route is chosen."""
    _check_ports(flags)
    _run(_settings(flags), flags["v"])


def _check_ports(flags: dict[str, Any]) -> None:
    given: dict[int, str] = {}
    for name in ("grpc_port", "grpc_health_port", "metrics_port"):
        flag = "--" + name.replace("_", "-")
        port = flags[name]
        if port and (other := given.setdefault(port, flag)) != flag:
            raise click.UsageError(f"{flag} and {other} are both {port}")


def _settings(flags: dict[str, Any]) -> Any:
    from dataclasses import replace

    from epp.app.bodyrouting import BodyRouterSettings
    from epp.app.settings import ServeSettings, Transport
    from epp.bodyrouting.plugins import PluginError, settings_of

    try:
        routing = settings_of(flags["plugins"])
    except PluginError as error:
        raise click.UsageError(f"--plugin: {error}") from None
    return BodyRouterSettings(
        serve=ServeSettings(
            host=flags["host"],
            grpc_port=flags["grpc_port"],
            grpc_health_port=flags["grpc_health_port"],
            metrics_port=flags["metrics_port"],
            secure_serving=flags["secure_serving"],
            cert_path=Path(flags["cert_path"]) if flags["cert_path"] else None,
            enable_cert_reload=flags["enable_cert_reload"],
            health_checking=flags["health_checking"],
            transport=Transport(flags["transport"]),
            max_receive_bytes=max(LEAST_MESSAGE_BYTES, flags["max_body_bytes"] + OVERHEAD_BYTES),
            drain_seconds=flags["drain_timeout"],
        ),
        routing=replace(routing, max_held_bytes=flags["max_body_bytes"]),
        base_model_file=flags["base_model_map"],
    )


def _run(settings: Any, verbosity: int) -> None:
    """Ends with status 0 after a drain, 1 with a message if it cannot serve."""
    import uvloop

    from epp.app.bodyrouting import assemble_body_router
    from epp.app.lifecycle import run
    from epp.bodyrouting.basemodel_file import BaseModelFileError
    from epp.cli.serve import leaves
    from epp.extproc.transport.tls import CertificateError
    from epp.telemetry.logs import LineWriter, configure, level_of

    writer = LineWriter()
    configure(level_of(verbosity), writer)
    try:
        uvloop.run(run(assemble_body_router(settings)))
    except* (CertificateError, OSError) as group:
        writer.close()
        _say_and_exit(leaves(group))
    except* BaseModelFileError as group:
        writer.close()
        _say_and_exit([f"--base-model-map: {error}" for error in leaves(group)])
    writer.close()


def _say_and_exit(problems: list[Any]) -> None:
    for problem in problems:
        click.echo(f"epp bbr: {problem}", err=True)
    sys.exit(1)
