"""`epp simulate`: simulated model servers until a signal comes."""

from __future__ import annotations

import asyncio
import signal
import sys

import click
import uvloop

from epp.app.signals import signal_handlers
from epp.cli.errors import leaves
from epp.simulation.server import serve
from epp.simulation.settings import ServerSettings


def run_simulation(
    ports: tuple[int, ...],
    host: str,
    models: tuple[str, ...],
    adapters: tuple[str, ...],
    profile: str,
    speed: float,
    max_num_seqs: int,
    prompt_tokens_details: bool,
) -> None:
    """Without ports, one server on 8000."""
    for port in ports:
        if port and ports.count(port) > 1:
            raise click.UsageError(f"--port: {port} is given twice")
    try:
        settings = [
            ServerSettings(
                name=f"sim-{index}",
                host=host,
                port=port,
                models=models,
                adapters=adapters,
                profile=profile,
                speed=speed,
                max_num_seqs=max_num_seqs,
                prompt_tokens_details=prompt_tokens_details,
                seed=index,
            )
            for index, port in enumerate(ports or (8000,))
        ]
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        uvloop.run(_until_signalled(settings))
    except* OSError as group:
        for problem in leaves(group):
            click.echo(f"epp simulate: {getattr(problem, 'strerror', None) or problem}", err=True)
        sys.exit(1)


async def _until_signalled(settings: list[ServerSettings]) -> None:
    stop = asyncio.Event()
    handlers = dict.fromkeys((signal.SIGTERM, signal.SIGINT), stop.set)
    with signal_handlers(handlers):
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(serve(settings, lambda: click.echo("ready", err=True)))
            await stop.wait()
            serving.cancel()
