"""Start and stop simulated model servers: one for a test, or many in one process."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from aiohttp import web

from epp.core.endpoint import authority
from epp.simulation.model_api import ModelApi
from epp.simulation.settings import ServerSettings

SHUTDOWN_SECONDS = 1.0  # for streams to end after the engine has stopped
# asyncio forgets a connection that it accepted in the same turn in which its server is closed, and
# leaves it open (python/cpython#109564). After a timer none is in that state: timers come after
# what was accepted in their turn. uvloop has no such turn.
ACCEPTED_SECONDS = 0.001


class SimulatedServer:
    """One model server; as a context manager it listens inside the block."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.port = settings.port  # the real one once started
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://{authority(self.settings.host, self.port)}"

    async def start(self) -> None:
        """Raises OSError, with the address in words, if it cannot be listened on."""
        runner = web.AppRunner(
            ModelApi(self.settings).application(),
            access_log=None,
            handler_cancellation=True,  # a client that goes away frees its place at once
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        try:
            await runner.setup()
            await web.TCPSite(runner, self.settings.host, self.settings.port).start()
        except OSError as error:
            await runner.cleanup()
            where = authority(self.settings.host, self.settings.port)
            raise OSError(error.errno, f"cannot listen on {where}: {_reason(error)}") from None
        except BaseException:
            await runner.cleanup()
            raise
        self.port = runner.addresses[0][1]
        self._runner = runner

    async def stop(self) -> None:
        """Ends running streams without their last chunk."""
        if self._runner is not None:
            await asyncio.sleep(ACCEPTED_SECONDS)
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()


def _reason(error: OSError) -> str:
    """Without the address, which asyncio says in some errors and in others not."""
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno)


async def serve(settings: Sequence[ServerSettings], ready: Callable[[], None]) -> None:
    """Run one server per element until cancelled; `ready` is called once all of them listen."""
    async with AsyncExitStack() as stack:
        for one in settings:
            await stack.enter_async_context(SimulatedServer(one))
        ready()
        await asyncio.Event().wait()
