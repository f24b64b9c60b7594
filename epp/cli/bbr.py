"""`epp bbr`: the body-based router, with the flags of the Go one."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from epp.cli.flags import GUARD_OF_METRICS, LOGS, PORT, TLS, flag, on_off, switch
from epp.cli.types import Bytes, Duration

# A gateway sends a buffered body, and pieces of any size, in one message.
LEAST_MESSAGE_BYTES = 64 << 20
OVERHEAD_BYTES = 64 << 10  # what a message has besides the body: metadata, attributes

FLAGS: Sequence[click.Option] = (
    flag("--host", default="0.0.0.0", text="Address of all ports."),
    flag("--grpc-port", type=PORT, default=9004, text="ext-proc"),
    flag("--grpc-health-port", type=PORT, default=9005, text="health"),
    flag("--metrics-port", type=PORT, default=9090, text="HTTP"),
    flag(
        *("--plugin", "plugins"),
        multiple=True,
        metavar="TYPE:NAME[:JSON]",
        text="body-field-to-header or base-model-to-header; without any, both for the model.",
    ),
    flag(
        "--base-model-map",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        text="File with the base models and their adapters; followed.",
    ),
    flag(
        "--base-model-configmaps",
        type=click.Choice(["auto", "on", "off"]),
        default="auto",
        text="Watch ConfigMaps for them; auto: in a pod, or with a kubeconfig that is named.",
    ),
    flag("--kubeconfig", default="", text="Else $KUBECONFIG, else the pod's service account."),
    flag(
        "--max-body-bytes",
        type=Bytes(),
        default="64Mi",
        text="Most of a body that is held until the model is found.",
    ),
    flag(
        "--drain-timeout",
        type=Duration(),
        default="5s",
        text="How long to serve on after SIGTERM.",
    ),
    flag(
        "--transport",
        type=click.Choice(["http2", "grpcio"]),
        default="http2",
        text="What serves the gRPC ports: our own HTTP/2, or grpcio.",
    ),
    switch(
        "--health-checking", default=False, text="The health service also on the ext-proc port."
    ),
    *TLS,
    *GUARD_OF_METRICS,
    *LOGS,
    on_off("--tracing", default=True, text="Accepted: the body router makes no spans."),
    on_off("--streaming", default=False, text="Accepted: the gateway says how it sends bodies."),
    on_off("--enable-pprof", default=True, text="Accepted: there is no profile of a Go runtime."),
)


def _bbr(**flags: Any) -> None:
    _check_ports(flags)
    _run(_settings(flags), flags)


bbr = click.Command(
    "bbr",
    params=list(FLAGS),
    callback=_bbr,
    help="The body-based router: sets X-Gateway-Model-Name before the route is chosen.",
)


def _check_ports(flags: Mapping[str, Any]) -> None:
    given: dict[int, str] = {}
    for name in ("grpc_port", "grpc_health_port", "metrics_port"):
        word = "--" + name.replace("_", "-")
        port = flags[name]
        if port and (other := given.setdefault(port, word)) != word:
            raise click.UsageError(f"{word} and {other} are both {port}")


def _settings(flags: Mapping[str, Any]) -> Any:
    from dataclasses import replace

    from epp.app.bodyrouting import BodyRouterSettings
    from epp.app.settings import ServeSettings, Transport
    from epp.bodyrouting.plugins import PluginError, settings_of
    from epp.cli.settings import metrics_guard_of, tls_policy_of

    try:
        routing = settings_of(flags["plugins"])
    except PluginError as error:
        raise click.UsageError(f"--plugin: {error}") from None
    limit = flags["max_body_bytes"]
    return BodyRouterSettings(
        serve=ServeSettings(
            host=flags["host"],
            grpc_port=flags["grpc_port"],
            grpc_health_port=flags["grpc_health_port"],
            metrics_port=flags["metrics_port"],
            secure_serving=flags["secure_serving"],
            cert_path=Path(flags["cert_path"]) if flags["cert_path"] else None,
            enable_cert_reload=flags["enable_cert_reload"],
            tls=tls_policy_of(flags),
            health_checking=flags["health_checking"],
            transport=Transport(flags["transport"]),
            max_receive_bytes=max(LEAST_MESSAGE_BYTES, limit + OVERHEAD_BYTES),
            drain_seconds=flags["drain_timeout"],
            metrics_guard=metrics_guard_of(flags),
        ),
        routing=replace(routing, max_held_bytes=limit),
        base_model_file=flags["base_model_map"],
        config_maps=_config_maps(flags) if routing.base_model else None,
    )


def _config_maps(flags: Mapping[str, Any]) -> Any:
    """None where none are watched."""
    from epp.bodyrouting.configmap_watch import ConfigMapSettings
    from epp.datalayer.discovery.kubernetes.client import SERVICE_ACCOUNT

    wish, named = flags["base_model_configmaps"], flags["kubeconfig"]
    somewhere = named or os.environ.get("KUBECONFIG") or (SERVICE_ACCOUNT / "token").exists()
    if wish == "off" or (wish == "auto" and not somewhere):
        return None
    return ConfigMapSettings(Path(named) if named else None, os.environ.get("NAMESPACE", ""))


def _run(settings: Any, flags: Mapping[str, Any]) -> None:
    """Ends with status 0 after a drain, 1 with a message if it cannot serve."""
    import uvloop

    from epp.app.bodyrouting import assemble_body_router
    from epp.app.lifecycle import run
    from epp.bodyrouting.basemodel_file import BaseModelFileError
    from epp.cli.errors import leaves
    from epp.cli.settings import log_threshold
    from epp.datalayer.discovery.kubernetes.client import ClusterConfigError
    from epp.extproc.transport.tls import CertificateError
    from epp.telemetry.logs import LineWriter, configure

    writer = LineWriter()
    configure(log_threshold(flags).level, writer)
    try:
        uvloop.run(run(assemble_body_router(settings)))
    except* (CertificateError, ClusterConfigError, OSError) as group:
        writer.close()
        _say_and_exit(leaves(group))
    except* BaseModelFileError as group:
        writer.close()
        _say_and_exit([f"--base-model-map: {error}" for error in leaves(group)])
    writer.close()


def _say_and_exit(problems: Sequence[object]) -> None:
    for problem in problems:
        click.echo(f"epp bbr: {problem}", err=True)
    sys.exit(1)
