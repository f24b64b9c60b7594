"""`epp`: without a subcommand it is the picker, with the flags of the Go picker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from epp.cli.kubernetes import kubernetes_options, kubernetes_settings, metrics_pool_name
from epp.cli.types import Bytes, Duration, switch


def _settings(flags: dict[str, Any]) -> Any:
    from epp.app.settings import ServeSettings, Transport
    from epp.telemetry.legacy import Families

    return ServeSettings(
        host=flags["host"],
        grpc_port=flags["grpc_port"],
        grpc_health_port=flags["grpc_health_port"],
        metrics_port=flags["metrics_port"],
        pool_name=metrics_pool_name(flags),
        kubernetes=kubernetes_settings(flags),
        secure_serving=flags["secure_serving"],
        cert_path=Path(flags["cert_path"]) if flags["cert_path"] else None,
        enable_cert_reload=flags["enable_cert_reload"],
        health_checking=flags["health_checking"],
        transport=Transport(flags["transport"]),
        max_receive_bytes=flags["grpc_max_recv_msg_size"],
        max_send_bytes=flags["grpc_max_send_msg_size"] or -1,
        drain_seconds=flags["drain_timeout"],
        use_subset=not flags["disable_endpoint_subset_filter"],
        emit_scores=flags["emit_endpoint_scores"],
        refresh_metrics_seconds=max(0.05, flags["refresh_metrics_interval"]),
        metrics_staleness_seconds=flags["metrics_staleness_threshold"],
        log_requests=flags["v"] >= 2,
        metrics_families=Families(flags["metrics_families"]),
    )


PORT = click.IntRange(0, 65535)


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--config-file", default="", help="The EndpointPickerConfig document.")
@click.option("--config-text", default="", help="The document itself.")
@click.option("--host", default="0.0.0.0", show_default=True, help="Address of all ports.")
@click.option("--grpc-port", type=PORT, default=9002, show_default=True, help="ext-proc")
@click.option("--grpc-health-port", type=PORT, default=9003, show_default=True, help="health")
@click.option("--metrics-port", type=PORT, default=9090, show_default=True, help="HTTP")
@kubernetes_options
@click.option(
    "--drain-timeout",
    type=Duration(),
    default="30s",
    show_default=True,
    help="How long to serve on after SIGTERM.",
)
@click.option(
    "--grpc-max-recv-msg-size",
    type=Bytes(),
    default="64Mi",
    show_default=True,
    help="Largest message, decompressed.",
)
@click.option(
    "--transport",
    type=click.Choice(["http2", "grpcio"]),
    default="http2",
    show_default=True,
    help="What serves the gRPC ports: our own HTTP/2, or grpcio.",
)
@click.option("--grpc-max-send-msg-size", type=Bytes(), default="0", help="0: no limit.")
@click.option(
    "--refresh-metrics-interval",
    type=Duration(),
    default="50ms",
    show_default=True,
    help="Scrape an endpoint at the most so often; 50ms is the least.",
)
@click.option(
    "--metrics-staleness-threshold",
    type=Duration(),
    default="2s",
    show_default=True,
    help="Age up to which an endpoint counts in the pool gauges.",
)
@switch("--secure-serving", default=True, text="TLS on the ext-proc port.")
@click.option("--cert-path", default="", help="Folder with tls.crt and tls.key, else self-signed.")
@switch("--enable-cert-reload", default=False, text="Use a renewed certificate.")
@switch("--health-checking", default=False, text="The health service also on the ext-proc port.")
@switch("--disable-endpoint-subset-filter", default=False, text="Ignore the gateway's subset hint.")
@switch("--emit-endpoint-scores", default=False, text="Tell the gateway every candidate's score.")
@switch("--metrics-endpoint-auth", default=True, text="Only with Kubernetes; no effect here.")
@switch("--allow-experimental-plugins", default=False, text="Accepted; no plugin needs it.")
@switch("--tracing", default=True, text="Accepted; no spans in this version.")
@switch("--enable-pprof", default=True, text="Accepted; no effect.")
@click.option(
    "--metrics-families",
    type=click.Choice(["both", "current", "legacy"]),
    default="both",
    show_default=True,
    help="Names on the metrics page: llm_d_epp_, the older inference_ ones, or both.",
)
@click.option("-v", "--v", "v", type=int, default=2, show_default=True, help="0 warnings to 5 all.")
@click.option("--refresh-prometheus-metrics-interval", type=Duration(), default="5s", hidden=True)
@click.option("--zap-encoder", default="", hidden=True)
@click.option("--zap-log-level", default="", hidden=True)
@click.option("--zap-devel", default="", hidden=True)
@click.option("--zap-stacktrace-level", default="", hidden=True)
@click.option("--zap-time-encoding", default="", hidden=True)
@click.version_option(package_name="epp")
@click.pass_context
def cli(context: click.Context, /, **flags: Any) -> None:
    """The picker itself, as Envoy, GKE, Istio and others ask it over ext-proc."""
    if context.invoked_subcommand is not None:
        return
    from epp.cli.serve import serve

    serve(_settings(flags), flags["config_file"], flags["config_text"], flags["v"])


@cli.command()
@click.option("--backends", default="", help="Model servers, as http://host:port,http://host:port.")
@click.option("--port", type=PORT, default=8080, show_default=True, help="Of the gateway.")
@click.option("--config-file", default="", help="EndpointPickerConfig; discovery is added.")
@click.option(
    "--mode",
    type=click.Choice(["light", "full"]),
    default="light",
    show_default=True,
    help="How much of an exchange Envoy shows to the picker.",
)
@click.option(
    "--simulate",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Simulated model servers, where no backends are given.",
)
def local(**flags: Any) -> None:
    """Envoy, the picker and model servers on this machine: one OpenAI-compatible URL."""
    from epp.cli.local import run_local

    run_local(**flags)


@cli.command()
@click.option("--port", "ports", type=PORT, multiple=True, help="One server for each.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--model", "models", multiple=True, default=("sim",), show_default=True)
@click.option("--adapter", "adapters", multiple=True, help="LoRA adapter.")
@click.option("--profile", default="8b-h100", show_default=True, help="Model and hardware.")
@click.option("--speed", type=float, default=1.0, show_default=True, help="Engine time factor.")
def simulate(**flags: Any) -> None:
    """Simulated vLLM servers with the timing, metrics and errors of real ones."""
    from epp.cli.simulate import run_simulation

    run_simulation(**flags)


@cli.command("check-config")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check_config(file: Path) -> None:
    """Read a configuration document; print its differences from the Go picker, or what is wrong."""
    from epp.cli.check_config import check

    check(file)


@cli.command("envoy-config")
@click.option("--output", type=click.Path(path_type=Path), help="A file; else standard output.")
@click.option("--listen", default="0.0.0.0:8081", show_default=True, help="Where clients connect.")
@click.option("--picker", default="127.0.0.1:9002", show_default=True, help="Its ext-proc port.")
@switch("--picker-tls", default=True, text="The picker serves TLS, its certificate unverified.")
@click.option(
    "--model-servers",
    default="",
    help="IP:port or name:port, several with commas. Without, Envoy knows only what is picked:"
    " no fallback, and nothing is served while the picker is away.",
)
@click.option(
    "--mode",
    type=click.Choice(["light", "full"]),
    default="light",
    show_default=True,
    help="How much of an exchange Envoy shows to the picker.",
)
@switch("--fail-open", default=True, text="Serve on without picks while the picker is away.")
@click.option("--admin-port", type=PORT, default=19000, show_default=True, help="On loopback.")
@click.option("--status-port", type=PORT, default=19001, show_default=True, help="For probes.")
@click.option("--envoy-version", default="1.40.0", show_default=True, help="That will read it.")
def envoy_config(**flags: Any) -> None:
    """The configuration of an Envoy in front of this picker, as JSON."""
    from epp.cli.envoy_config import write_envoy_config

    write_envoy_config(**flags)


def main() -> None:
    cli(prog_name="epp")
