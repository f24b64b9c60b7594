"""`epp local`: one URL on this machine that behaves like production, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from pathlib import Path

import click

from epp.cli.document import read_document
from epp.envoyconfig.settings import Mode
from epp.local.processes import ChildFailed
from epp.local.stack import CannotStart, Stack, StackSettings, start_stack


def run_local(backends: str, port: int, config_file: str, mode: str, simulate: int) -> None:
    """Ends with status 0 on Ctrl-C, 1 with a message if something cannot start or dies."""
    settings = StackSettings(
        port=port,
        mode=Mode(mode),
        backends=tuple(url.strip() for url in backends.split(",") if url.strip()),
        simulated=simulate,
        document=read_document(config_file, "").document,
    )
    try:
        asyncio.run(_run(settings))
    except* (CannotStart, ChildFailed) as group:
        for error in group.exceptions:
            click.echo(f"epp local: {error}", err=True)
        sys.exit(1)


async def _run(settings: StackSettings) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    with tempfile.TemporaryDirectory(prefix="epp-local-") as folder:
        async with contextlib.AsyncExitStack() as children:
            stack = await start_stack(settings, Path(folder), children, click.echo)
            _greet(stack)
            watching = asyncio.ensure_future(stack.failed())
            stopping = asyncio.ensure_future(stopped.wait())
            await asyncio.wait((watching, stopping), return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                await watching
            watching.cancel()
            click.echo("\nstopping")
            with contextlib.suppress(asyncio.CancelledError):
                await watching


def _greet(stack: Stack) -> None:
    click.echo(f"\n{stack.url} is an OpenAI-compatible URL in front of:")
    for server in stack.model_servers:
        click.echo(f"  http://{server}")
    click.echo(f"metrics of the picker: {stack.metrics_url}/metrics\n")
    click.echo("Try:")
    body = '{"model": "sim", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}'
    click.echo(f"  curl -N {stack.url}/v1/chat/completions -d '{body}'\n")
    click.echo("Ctrl-C stops everything.")
