"""`epp local`: one URL on this machine that behaves like production, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from epp.app.signals import signal_handlers
from epp.cli.document import read_document
from epp.cli.errors import leaves
from epp.envoyconfig.settings import Mode
from epp.local.models import Served, served_by
from epp.local.processes import ChildFailed
from epp.local.stack import CannotStart, Stack, StackSettings, start_stack


def run_local(backends: str | None, port: int, config_file: str, mode: str, simulate: int) -> None:
    """Ends with status 0 on Ctrl-C, 1 with a message if something cannot start or dies."""
    settings = StackSettings(
        port=port,
        mode=Mode(mode),
        backends=() if backends is None else _urls(backends),
        simulated=simulate,
        document=read_document(config_file, "").document,
    )
    try:
        asyncio.run(_run(settings))
    except* (CannotStart, ChildFailed) as group:
        for error in leaves(group):
            click.echo(f"epp local: {error}", err=True)
        sys.exit(1)


def _urls(backends: str) -> tuple[str, ...]:
    urls = tuple(url.strip() for url in backends.split(",") if url.strip())
    if not urls:
        raise click.UsageError(f"--backends: {backends!r} names no model server")
    return urls


async def _run(settings: StackSettings) -> None:
    stopped = asyncio.Event()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        numbers.append(signal.SIGHUP)
    with (
        signal_handlers(dict.fromkeys(numbers, stopped.set)),
        tempfile.TemporaryDirectory(prefix="epp-local-") as folder,
    ):
        async with contextlib.AsyncExitStack() as children:
            serving = asyncio.ensure_future(_serve(settings, Path(folder), children))
            stopping = asyncio.ensure_future(stopped.wait())
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                await serving
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving
            click.echo("\nstopping")


async def _serve(
    settings: StackSettings, folder: Path, children: contextlib.AsyncExitStack
) -> None:
    """Returns only by raising: when something cannot start, or has ended."""
    stack = await start_stack(settings, folder, children, click.echo)
    _greet(stack, await served_by(stack.model_servers))
    await stack.failed()


def _greet(stack: Stack, served: Sequence[Served]) -> None:
    click.echo(f"\n{stack.url} is an OpenAI-compatible URL in front of:")
    for server, found in zip(stack.model_servers, served, strict=True):
        problem = f"  cannot be reached now: {found.problem}" if found.problem else ""
        click.echo(f"  http://{server}{problem}")
    click.echo(f"metrics of the picker: {stack.metrics_url}/metrics\n")
    click.echo("Try:")
    hello = {
        "model": next((found.model for found in served if found.model), "MODEL"),
        "stream": True,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    body = shlex.quote(json.dumps(hello, ensure_ascii=False))
    click.echo(f"  curl -N {stack.url}/v1/chat/completions -d {body}\n")
    click.echo("Ctrl-C stops everything.")
