"""Flags of `epp sim` and its subcommands. What they do is in modules that are heavy to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from epp.cli.given import given_flags, misplaced
from epp.cli.outputs import OutputFile
from epp.cli.types import Finite

Command = Callable[..., None]

# By the parameter's name.
IN_PLACE_OF_A_TRACE = {
    "workload": "--workload",
    "rate": "--rate",
    "load": "--load",
    "clients": "--clients",
}
OF_A_TRACE = {"trace_format": "--format", "speedup": "--speedup"}


def load_options(command: Command) -> Command:
    """Who asks how much of which servers."""
    options = (
        click.option("--workload", default="chat", show_default=True, help="By name."),
        click.option(
            "--fleet",
            default="8x32b-h100-tp2",
            show_default=True,
            help="Or 4x8b-h100+4x8b-a100, or 4x8b-h100:prefill+4x8b-h100:decode.",
        ),
        click.option("--rate", type=Finite(0, min_open=True), help="Requests per second."),
        click.option(
            "--load",
            type=Finite(0, 1000, min_open=True),
            default=85.0,
            show_default=True,
            help="Without a rate: percent of the capacity.",
        ),
        click.option(
            "--clients", type=click.IntRange(1), help="Closed loop of so many, not a rate."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def run_options(command: Command) -> Command:
    """How it is run and told."""
    options = (
        click.option("--light", is_flag=True, help="First tokens are not seen, as in light mode."),
        click.option("--json", type=OutputFile(), default="", help="Everything, for machines."),
        click.option(
            "--jobs", type=click.IntRange(0, 256), default=0, help="Processes; 0: one a processor."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@click.option(
    "--config",
    default="default",
    show_default=True,
    help="Document, or name of a policy; `oracle` knows what no picker can.",
)
@click.option("--compare", "comparisons", multiple=True, help="Another one, beside it.")
@load_options
@click.option("--trace", help="Recorded requests, in place of workload and rate.")
@click.option(
    "--format",
    "trace_format",
    type=click.Choice(["mooncake", "azure", "burstgpt"]),
    help="Of the trace; as a rule its first line says it.",
)
@click.option(
    "--speedup",
    type=Finite(0, min_open=True),
    default=1.0,
    show_default=True,
    help="The trace that much faster.",
)
@click.option(
    "--seconds",
    type=Finite(0, min_open=True),
    help="That are measured, in place of what the workload says; or of the trace.",
)
@click.option("--ttft-seconds", type=Finite(0), help="A good first token; or workload's.")
@click.option("--tpot-seconds", type=Finite(0), help="And each one after it.")
@click.option("--seeds", type=click.IntRange(1, 1000), default=5, show_default=True)
@click.option("--first-seed", type=int, default=1, show_default=True)
@click.option(
    "--scrape-seconds",
    type=Finite(0.001),
    default=0.05,
    show_default=True,
    help="Between two scrapes of a server.",
)
@click.option("--fault", "faults", multiple=True, help="As slow:0@60=5: kind, server, when, value.")
@click.option("--cold", is_flag=True, help="Measure from the first request on, caches empty.")
@click.option(
    "--max-num-seqs", type=click.IntRange(1, 2048), default=256, show_default=True, help="Of vLLM."
)
@click.option(
    "--kv-transfer-gb-per-second",
    type=Finite(0, min_open=True),
    default=50.0,
    show_default=True,
    help="Gigabytes, from a server that computed a prompt to the one that decodes.",
)
@click.option(
    "--plot",
    type=OutputFile(("png", "svg", "pdf")),
    default="",
    help="Picture to write: .png, .svg or .pdf.",
)
@run_options
@click.pass_context
def sim(context: click.Context, /, **flags: Any) -> None:
    """What a configuration would do to a fleet of model servers, in virtual time."""
    if context.invoked_subcommand is not None:
        if problem := misplaced(context, context.invoked_subcommand):
            raise click.UsageError(problem)
        return
    _check_trace_alone(given_flags(context))
    from epp.cli.sim import run_sim

    run_sim(**flags)


def _check_trace_alone(given: Mapping[str, object]) -> None:
    """A trace says who asks and how much; how to read one needs one."""
    if "trace" in given:
        for name, flag in IN_PLACE_OF_A_TRACE.items():
            if name in given:
                raise click.UsageError(f"--trace and {flag} exclude each other")
        return
    for name, flag in OF_A_TRACE.items():
        if name in given:
            raise click.UsageError(f"{flag} is only for --trace")


@sim.command("advise")
@click.option(
    "--config", default="default", show_default=True, help="What runs now: document, or policy."
)
@load_options
@click.option(
    "--budget-seconds",
    type=Finite(1),
    default=100.0,
    show_default=True,
    help="For the search and the proof.",
)
@run_options
def advise(**flags: Any) -> None:
    """Search the configuration that serves a load best, and name what the fleet runs out of."""
    from epp.cli.advise import run_advise

    run_advise(**flags)


@sim.command("gates")
def gates() -> None:
    """What the model must get right before it is believed, each figure beside what it should be."""
    from epp.cli.gates import run_gates

    run_gates()
