"""`epp`: without a subcommand it is the picker, with the flags of the Go picker."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import click

from epp.cli.bbr import bbr
from epp.cli.envoy_config import envoy_config
from epp.cli.envoy_drain import envoy_drain
from epp.cli.explain import explain, replay
from epp.cli.flags import ALL, PORT, PickerGroup
from epp.cli.given import given_flags, misplaced
from epp.cli.laboratory import sim
from epp.cli.types import Finite


@click.group(
    cls=PickerGroup,
    params=list(ALL),
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="epp")
@click.pass_context
def cli(context: click.Context, /, **flags: Any) -> None:
    """The picker itself, as Envoy, GKE, Istio and others ask it over ext-proc."""
    if context.invoked_subcommand is not None:
        looks_at_flags = context.invoked_subcommand == check_config.name
        if not looks_at_flags and (problem := misplaced(context, context.invoked_subcommand)):
            raise click.UsageError(problem)
        return
    from epp.cli.serve import serve

    serve(flags, given_flags(context))


@cli.command()
@click.option("--backends", help="Model servers, as http://host:port,http://host:port.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Of the gateway."
)
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
@click.option(
    "--speed",
    type=Finite(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Engine time factor.",
)
@click.option(
    "--max-num-seqs", type=int, default=256, show_default=True, help="Requests run at a time."
)
@click.option(
    "--enable-prompt-tokens-details",
    "prompt_tokens_details",
    is_flag=True,
    help="Usage tells the cached tokens of a prompt.",
)
def simulate(**flags: Any) -> None:
    """Simulated vLLM servers with the timing, metrics and errors of real ones."""
    from epp.cli.simulate import run_simulation

    run_simulation(**flags)


@cli.command("check-config")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False))
@click.pass_context
def check_config(context: click.Context, /, file: str | None) -> None:
    """Read a configuration document; print its differences from the Go picker, or what is wrong.

    Flags of the picker stand before the word check-config, and are looked at too. One of them may
    be --config-file, in place of FILE.
    """
    from epp.cli.check_config import check

    assert context.parent is not None
    check(file or "", context.parent.params, given_flags(context.parent))


cli.add_command(bbr)
cli.add_command(envoy_config)
cli.add_command(envoy_drain)
cli.add_command(explain)
cli.add_command(replay)
cli.add_command(sim)


def main() -> None:
    try:
        cli(prog_name="epp")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        # What standard output still holds would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        click.echo(f"epp: {error.strerror}", err=True)
        sys.exit(1)
