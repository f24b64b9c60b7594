"""What stands on the command line, and where it does otherwise than in the Go picker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import click
from click.core import ParameterSource


def given_flags(context: click.Context) -> Mapping[str, object]:
    """Values by the parameter's name, without those that are only defaults."""
    return {
        name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }


def misplaced(group: click.Context, subcommand: str) -> str:
    """What is wrong with flags of a group before a subcommand, which never sees them; or empty."""
    given = given_flags(group)
    command = group.command
    assert isinstance(command, click.Group)
    flag = next((option.opts[0] for option in command.params if option.name in given), None)
    if flag is None:
        return ""
    if any(flag in option.opts for option in command.commands[subcommand].params):
        return f"{flag} stands after `{subcommand}`"
    return f"{flag} is a flag of `{group.command_path}`, `{subcommand}` does not take it"


@dataclass(frozen=True, slots=True)
class Difference:
    """`meets` says for which values of the flag the text holds."""

    flag: str  # the parameter's name
    meets: Callable[[object], bool]
    text: str
    only_with_file_discovery: bool = False


OLD_TLS = ("VersionTLS10", "VersionTLS11")
DIFFERENCES = (
    Difference("grpc_max_recv_msg_size", lambda size: not size, "the default is 64Mi, there 4 MiB"),
    Difference(
        "health_checking",
        bool,
        "the health service tells readiness on this port too, there it is always SERVING",
    ),
    Difference(
        "refresh_metrics_interval",
        bool,
        "a bound on the rate: endpoints are scraped by need, an idle one once a second",
    ),
    Difference(
        "refresh_prometheus_metrics_interval",
        bool,
        "without effect: the pool gauges are computed when the page is read",
    ),
    Difference("tls_min_version", lambda name: name in OLD_TLS, "1.2 is the least here"),
    Difference(
        "tracing",
        bool,
        "spans only where OTEL_TRACES_EXPORTER or an OTLP endpoint is set, there else on standard "
        "output",
    ),
    Difference("enable_pprof", bool, "without effect: there is no Go runtime to profile"),
    Difference("zap_devel", bool, "without effect: lines are JSON"),
    Difference("zap_encoder", lambda name: name == "console", "without effect: lines are JSON"),
    Difference(
        "zap_time_encoding",
        lambda name: name not in ("", "epoch"),
        "without effect: times are seconds since 1970",
    ),
    Difference("zap_stacktrace_level", bool, "without effect: what escapes has its trace"),
    Difference(
        "zap_log_level",
        lambda level: level == "debug",
        "as -v 4, with a line a request; there -v 1",
    ),
    Difference(
        "metrics_cert_dir",
        bool,
        "with endpoints from a file the page is https too, there it is plain",
        only_with_file_discovery=True,
    ),
)


def flag_differences(given: Mapping[str, object], *, file_discovery: bool) -> tuple[str, ...]:
    """A line for each flag that was given and does otherwise, in the order of the table."""
    return tuple(
        f"--{difference.flag.replace('_', '-')}: {difference.text}"
        for difference in DIFFERENCES
        if difference.flag in given
        and difference.meets(given[difference.flag])
        and (file_discovery or not difference.only_with_file_discovery)
    )
