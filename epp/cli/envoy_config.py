"""`epp envoy-config`: the configuration of an Envoy in front of the picker, for the chart."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from epp.cli.flags import PORT, flag, switch

PARAMETERS = (
    flag("--output", type=click.Path(path_type=Path), text="A file; else standard output."),
    flag("--listen", default="0.0.0.0:8081", text="Where clients connect."),
    flag("--picker", default="127.0.0.1:9002", text="Its ext-proc port."),
    switch("--picker-tls", default=True, text="The picker serves TLS, its certificate unverified."),
    flag(
        "--model-servers",
        default="",
        text="IP:port or name:port, several with commas. Without, Envoy knows only what is picked:"
        " no fallback, and nothing is served while the picker is away.",
    ),
    flag(
        "--mode",
        type=click.Choice(["light", "full"]),
        default="light",
        text="How much of an exchange Envoy shows to the picker.",
    ),
    switch("--fail-open", default=True, text="Serve on without picks while the picker is away."),
    flag("--admin-port", type=PORT, default=19000, text="On loopback."),
    flag("--status-port", type=PORT, default=19001, text="/ready and Prometheus, for probes."),
    flag("--envoy-version", default="1.40.0", text="That will read it."),
)


@click.command("envoy-config", params=list(PARAMETERS))
def envoy_config(
    *,
    output: Path | None,
    listen: str,
    picker: str,
    picker_tls: bool,
    model_servers: str,
    mode: str,
    fail_open: bool,
    admin_port: int,
    status_port: int,
    envoy_version: str,
) -> None:
    """The configuration of an Envoy in front of this picker, as JSON."""
    from epp.envoyconfig.bootstrap import bootstrap
    from epp.envoyconfig.settings import Balancing, EnvoySettings, Mode, is_ip_literal

    servers = tuple(part.strip() for part in model_servers.split(",") if part.strip())
    named = any(not is_ip_literal(_host_of(server)) for server in servers)
    try:
        listen_host, listen_port = _split("--listen", listen)
        picker_host, picker_port = _split("--picker", picker)
        settings = EnvoySettings(
            listen_host=listen_host,
            listen_port=listen_port,
            picker_host=picker_host,
            picker_port=picker_port,
            picker_tls=picker_tls,
            model_servers=() if named else servers,
            model_server_names=servers if named else (),
            balancing=Balancing.OVERRIDE_HOST if servers else Balancing.ORIGINAL_DST,
            mode=Mode(mode),
            fail_open=fail_open,
            admin_port=admin_port,
            status_port=status_port,
            envoy_version=_version(envoy_version),
        )
    except ValueError as error:
        click.echo(f"epp envoy-config: {error}", err=True)
        sys.exit(1)
    text = json.dumps(bootstrap(settings), indent=2) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        click.echo(f"epp envoy-config: --output: {error}", err=True)
        sys.exit(1)


def _split(flag: str, authority: str) -> tuple[str, int]:
    port = authority.rpartition(":")[2]
    if not (_host_of(authority) and port.isascii() and port.isdecimal()):
        raise ValueError(f"{flag}: {authority!r} is not host:port")
    return _host_of(authority), int(port)


def _host_of(authority: str) -> str:
    host = authority.rpartition(":")[0]
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _version(text: str) -> tuple[int, ...]:
    parts = text.removeprefix("v").split(".")
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise ValueError(f"--envoy-version: {text!r} is not like 1.40.0")
    return tuple(int(part) for part in parts)
