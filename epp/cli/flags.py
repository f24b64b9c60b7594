"""Every flag of the picker, in sections: the names, defaults and forms of the Go picker, and ours.

The sections are those of `epp --help`. docs/flags.md has the same list in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from epp.cli.types import (
    DEFAULT_VERBOSITY,
    Boolean,
    Bytes,
    Duration,
    Finite,
    LogLevel,
    Names,
    Refused,
    Verbosity,
)

POOL_GROUP = "inference.networking.k8s.io"
PORT = click.IntRange(0, 65535)
OLD_METRIC_FLAGS = (
    "--total-queued-requests-metric",
    "--total-running-requests-metric",
    "--kv-cache-usage-percentage-metric",
    "--lora-info-metric",
    "--cache-info-metric",
)
OF_ENGINES = Refused(
    "configure metrics via engineConfigs of the plugin core-metrics-extractor in the config file"
)
ENCODERS = click.Choice(["json", "console", ""])
STACKTRACE_LEVELS = click.Choice(["info", "error", "panic", ""])
TIME_ENCODINGS = click.Choice(
    ["epoch", "millis", "nano", "iso8601", "rfc3339", "rfc3339nano", ""], case_sensitive=False
)


def flag(*names: str, text: str = "", **attributes: Any) -> click.Option:
    """An option whose default stands in the help."""
    shown = attributes.get("default", "") not in ("", None)
    return click.Option(names, help=text, show_default=shown, **attributes)


def switch(name: str, *, default: bool, text: str, **attributes: Any) -> click.Option:
    """A boolean flag: `--name`, `--name=false` or `--name false`."""
    return click.Option(
        [name],
        is_flag=False,
        flag_value="true",
        type=Boolean(),
        default=default,
        show_default=True,
        help=text,
        **attributes,
    )


def on_off(name: str, *, default: bool, text: str) -> click.Option:
    """As `switch`, for what is accepted without an effect and not worth a line in the help."""
    return switch(name, default=default, text=text, hidden=True)


DOCUMENT = (
    flag("--config-file", default="", text="The EndpointPickerConfig document."),
    flag("--config-text", default="", text="The document itself."),
    switch(
        "--enable-config-reload",
        default=True,
        text="Take over a changed --config-file while running. SIGHUP does so in any case.",
    ),
    switch(
        "--allow-experimental-plugins",
        default=False,
        text="Accepted: no plugin of this picker needs it.",
    ),
)

POOL = (
    flag(
        "--pool-name",
        default="",
        text="InferencePool to serve; with discovery in the document, its name in metrics.",
    ),
    flag(
        "--pool-namespace",
        default="",
        text="Of the pool, its pods and objectives; else $NAMESPACE, else default.",
    ),
    flag("--pool-group", default=POOL_GROUP, text="API group of the InferencePool."),
    flag(
        "--endpoint-selector",
        default="",
        text="Serve the pods of this label selector, without an InferencePool.",
    ),
    flag(
        "--endpoint-target-ports",
        type=Names(),
        multiple=True,
        text="Ports of those pods, 1 to 8; a comma list, or the flag repeated.",
    ),
    flag("--kubeconfig", default="", text="Else $KUBECONFIG, else the pod's service account."),
)

SERVING = (
    flag("--host", default="0.0.0.0", text="Address of all ports."),
    flag("--grpc-port", type=PORT, default=9002, text="ext-proc"),
    flag("--grpc-health-port", type=PORT, default=9003, text="health"),
    flag("--metrics-port", type=PORT, default=9090, text="HTTP"),
    flag(
        "--transport",
        type=click.Choice(["http2", "grpcio"]),
        default="http2",
        text="What serves the gRPC ports: our own HTTP/2, or grpcio.",
    ),
    switch(
        "--health-checking", default=False, text="The health service also on the ext-proc port."
    ),
    flag(
        "--grpc-max-recv-msg-size",
        type=Bytes(),
        default="64Mi",
        text="Largest message taken, decompressed.",
    ),
    flag("--grpc-max-send-msg-size", type=Bytes(), default="", text="Largest sent; else no limit."),
    flag(
        "--drain-timeout",
        type=Duration(),
        default="30s",
        text="How long to serve on after SIGTERM.",
    ),
    switch(
        "--ha-enable-leader-election",
        default=False,
        text="Of several pickers only the holder of a Lease is ready. Needs Kubernetes.",
    ),
)

TLS = (
    switch("--secure-serving", default=True, text="TLS on the ext-proc port."),
    flag("--cert-path", default="", text="Folder with tls.crt and tls.key, else self-signed."),
    switch("--enable-cert-reload", default=False, text="Use a renewed certificate."),
    flag(
        "--tls-min-version",
        default="",
        text="VersionTLS12 (also for less) or VersionTLS13.",
    ),
    flag(
        "--tls-cipher-suites",
        type=Names(),
        multiple=True,
        text="Suites up to TLS 1.2 in Go's names, with commas.",
    ),
)

REQUESTS = (
    switch(
        "--disable-endpoint-subset-filter", default=False, text="Ignore the gateway's subset hint."
    ),
    switch(
        "--emit-endpoint-scores", default=False, text="Tell the gateway every candidate's score."
    ),
    flag(
        "--refresh-metrics-interval",
        type=Duration(),
        default="50ms",
        text="Scrape an endpoint at the most so often; 50ms is the least.",
    ),
    flag(
        "--replay-sampling",
        type=Finite(0.0, 1.0),
        default=0.0,
        text="Share of decisions recorded with all they read, for epp explain and epp replay.",
    ),
)

GUARD_OF_METRICS = (
    switch(
        "--metrics-endpoint-auth",
        default=True,
        text="With Kubernetes, /metrics wants a token that may get /metrics.",
    ),
    flag("--metrics-cert-dir", default="", text="tls.crt and tls.key: https on the metrics port."),
    flag(
        "--metrics-client-ca-file",
        default="",
        text="Clients of the metrics port need a certificate of this CA.",
    ),
)

METRICS = (
    *GUARD_OF_METRICS,
    flag(
        "--metrics-staleness-threshold",
        type=Duration(),
        default="2s",
        text="Age up to which an endpoint counts in the pool gauges.",
    ),
    flag(
        "--metrics-families",
        type=click.Choice(["both", "current", "legacy"]),
        default="both",
        text="Names on the metrics page: llm_d_epp_, the older inference_ ones, or both.",
    ),
    switch("--enable-grpc-stream-metrics", default=False, text="Count the open ext-proc streams."),
    flag("--refresh-prometheus-metrics-interval", type=Duration(), default="5s", hidden=True),
    on_off("--enable-pprof", default=True, text="Accepted: there is no profile of a Go runtime."),
    *(flag(name, type=OF_ENGINES, default=None, hidden=True) for name in OLD_METRIC_FLAGS),
)

LOGS = (
    flag(
        *("-v", "--v", "v"),
        type=Verbosity(),
        default=DEFAULT_VERBOSITY,
        text="0 warnings, 1 without requests, 2 a line a request, 4 debug.",
    ),
    flag(
        "--zap-log-level",
        type=LogLevel(),
        default="",
        text="debug, info, error, panic or a number as of -v; wins over -v.",
    ),
    flag("--zap-encoder", type=ENCODERS, default="", hidden=True),
    on_off("--zap-devel", default=False, text="Accepted: lines are JSON."),
    flag("--zap-stacktrace-level", type=STACKTRACE_LEVELS, default="", hidden=True),
    flag("--zap-time-encoding", type=TIME_ENCODINGS, default="", hidden=True),
)

TRACES = (
    switch("--tracing", default=True, text="Spans, where OTEL_ variables say where they go."),
)

SECTIONS: Mapping[str, Sequence[click.Option]] = {
    "Document": DOCUMENT,
    "Pool": POOL,
    "Serving": SERVING,
    "TLS of the ext-proc port": TLS,
    "Requests": REQUESTS,
    "Metrics": METRICS,
    "Logs and traces": (*LOGS, *TRACES),
}

ALL: Sequence[click.Option] = [option for section in SECTIONS.values() for option in section]
SWITCHES = {name for option in ALL if isinstance(option.type, Boolean) for name in option.opts}


class PickerGroup(click.Group):
    """Shows the flags under the titles of their sections."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """A switch right before a command stands alone: the command is not its value."""
        following = [*args, ""][1:]
        words = [
            f"{word}=true" if word in SWITCHES and after in self.commands else word
            for word, after in zip(args, following, strict=True)
        ]
        return super().parse_args(ctx, words)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sectioned = set(map(id, ALL))
        others = [option for option in self.get_params(ctx) if id(option) not in sectioned]
        for title, options in {**SECTIONS, "Other": others}.items():
            rows = [row for option in options if (row := option.get_help_record(ctx)) is not None]
            with formatter.section(title):
                formatter.write_dl(rows)
        self.format_commands(ctx, formatter)
