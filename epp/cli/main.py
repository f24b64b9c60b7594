"""`epp`: without a subcommand it is the picker, with the flags of the Go picker."""

from __future__ import annotations

from typing import Any

import click

from epp.cli.bbr import bbr
from epp.cli.envoy_config import envoy_config
from epp.cli.envoy_drain import envoy_drain
from epp.cli.explain import explain, replay
from epp.cli.flags import ALL, PORT, PickerGroup


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
        return
    from epp.cli.given import given_flags
    from epp.cli.serve import serve

    serve(flags, given_flags(context))


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
@click.option(
    "--max-num-seqs", type=int, default=256, show_default=True, help="Requests run at a time."
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
    from epp.cli.given import given_flags

    assert context.parent is not None
    check(file or "", context.parent.params, given_flags(context.parent))


@cli.group(invoke_without_command=True)
@click.option(
    "--config", default="default", show_default=True, help="Document, or name of a policy."
)
@click.option("--compare", "comparisons", multiple=True, help="Another one, beside it.")
@click.option("--workload", default="chat", show_default=True, help="By name.")
@click.option(
    "--fleet", default="8x32b-h100-tp2", show_default=True, help="Or 4x8b-h100+4x8b-a100."
)
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Requests per second.")
@click.option(
    "--load",
    type=click.FloatRange(0, 1000, min_open=True),
    default=85.0,
    show_default=True,
    help="Without a rate: percent of the capacity.",
)
@click.option("--clients", type=click.IntRange(1), help="Closed loop of so many, not a rate.")
@click.option("--trace", help="Recorded requests, in place of workload and rate.")
@click.option(
    "--format",
    "trace_format",
    type=click.Choice(["mooncake", "azure", "burstgpt"]),
    help="Of the trace; as a rule its first line says it.",
)
@click.option(
    "--speedup",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="The trace that much faster.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    help="That are measured, in place of what the workload says; or of the trace.",
)
@click.option("--ttft-seconds", type=click.FloatRange(0), help="A good first token; or workload's.")
@click.option("--tpot-seconds", type=click.FloatRange(0), help="And each one after it.")
@click.option("--seeds", type=click.IntRange(1, 1000), default=5, show_default=True)
@click.option("--first-seed", type=int, default=1, show_default=True)
@click.option("--light", is_flag=True, help="First tokens are not seen, as in light mode.")
@click.option(
    "--scrape-seconds",
    type=click.FloatRange(0.001),
    default=0.05,
    show_default=True,
    help="Between two scrapes of a server.",
)
@click.option("--fault", "faults", multiple=True, help="As slow:0@60=5: kind, server, when, value.")
@click.option("--cold", is_flag=True, help="Measure from the first request on, caches empty.")
@click.option(
    "--max-num-seqs", type=click.IntRange(1, 2048), default=256, show_default=True, help="Of vLLM."
)
@click.option("--plot", default="", help="Picture to write: .png, .svg or .pdf.")
@click.option("--json", default="", help="Everything, for machines.")
@click.option(
    "--jobs", type=click.IntRange(0, 256), default=0, help="Processes; 0: one a processor."
)
@click.pass_context
def sim(context: click.Context, /, **flags: Any) -> None:
    """What a configuration would do to a fleet of model servers, in virtual time."""
    if context.invoked_subcommand is not None:
        return
    from epp.cli.sim import run_sim

    run_sim(**flags)


@sim.command("advise")
@click.option(
    "--config", default="default", show_default=True, help="What runs now: document, or policy."
)
@click.option("--workload", default="chat", show_default=True, help="By name.")
@click.option(
    "--fleet", default="8x32b-h100-tp2", show_default=True, help="Or 4x8b-h100+4x8b-a100."
)
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Requests per second.")
@click.option(
    "--load",
    type=click.FloatRange(0, 1000, min_open=True),
    default=85.0,
    show_default=True,
    help="Without a rate: percent of the capacity.",
)
@click.option("--clients", type=click.IntRange(1), help="Closed loop of so many, not a rate.")
@click.option("--light", is_flag=True, help="First tokens are not seen, as in light mode.")
@click.option(
    "--budget-seconds",
    type=click.FloatRange(1),
    default=100.0,
    show_default=True,
    help="For the search and the proof.",
)
@click.option("--json", default="", help="Everything, for machines.")
@click.option(
    "--jobs", type=click.IntRange(0, 256), default=0, help="Processes; 0: one a processor."
)
def advise(**flags: Any) -> None:
    """Search the configuration that serves a load best, and name what the fleet runs out of."""
    from epp.cli.advise import run_advise

    run_advise(**flags)


@sim.command("gates")
def gates() -> None:
    """What the model must get right before it is believed, each figure beside what it should be."""
    from epp.cli.gates import run_gates

    run_gates()


cli.add_command(bbr)
cli.add_command(envoy_config)
cli.add_command(envoy_drain)
cli.add_command(explain)
cli.add_command(replay)


def main() -> None:
    cli(prog_name="epp")
