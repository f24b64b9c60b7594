"""Start, serve, drain and stop: the order in which the shells of one process come and go."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from epp import COMPILED
from epp.admin.server import AdminServer
from epp.app.signals import signal_handlers
from epp.extproc.health import Health
from epp.extproc.transport.interfaces import Server

log = logging.getLogger(__name__)

FORCED_GRACE_SECONDS = 1.0  # for streams that are open when the drain is over
LAST_PLACING_SECONDS = 0.3  # of them; by then the ports take nothing new


@dataclass(frozen=True, slots=True)
class Shells:
    """What runs. `background` loops live until the process stops; one that dies ends it."""

    extproc: Server
    health_server: Server
    admin: AdminServer
    health: Health
    prepare: Callable[[], Awaitable[None]]  # the first load of the pool; raises what is fatal
    background: Sequence[Callable[[], Awaitable[None]]]
    warmed_up: Callable[[], Awaitable[None]]  # returns when the loops have looked around
    refuse_waiting: Callable[[], None]
    open_requests: Callable[[], int]
    step_down: Callable[[], None] = lambda: None  # another picker may lead from now on
    closing: Sequence[Callable[[], Awaitable[None]]] = ()  # when everything else has ended
    drain_seconds: float = 30.0
    reload: Callable[[], None] | None = None  # on SIGHUP; None: SIGHUP ends the process
    announce: Callable[[int, int, int], None] | None = None  # ext-proc, health and admin ports


async def run(shells: Shells) -> None:
    """Serve until SIGTERM or SIGINT. A second signal, or SIGINT, skips the drain."""
    stop = StopSignal()
    handlers = stop.handlers
    if shells.reload is not None:
        handlers[signal.SIGHUP] = shells.reload
    with signal_handlers(handlers):
        async with contextlib.AsyncExitStack() as started, asyncio.TaskGroup() as group:
            for close in shells.closing:
                started.push_async_callback(close)
            health_port = await shells.health_server.start()
            started.push_async_callback(shells.health_server.stop, 0)
            admin_port = await shells.admin.start()
            started.push_async_callback(shells.admin.stop)
            # Nothing serves before the pool is known and the port listens.
            await shells.prepare()
            # What is loaded now stays: the collector need not look at it again.
            gc.collect()
            gc.freeze()
            loops = [group.create_task(_forever(loop)) for loop in shells.background]
            await shells.warmed_up()
            extproc_port = await shells.extproc.start()
            started.push_async_callback(shells.extproc.stop, FORCED_GRACE_SECONDS)
            shells.health.set_ready(True)
            log.info(
                "serving",
                extra={
                    "grpc_port": extproc_port,
                    "health_port": health_port,
                    "metrics_port": admin_port,
                    "compiled": COMPILED,
                },
            )
            if shells.announce is not None:
                shells.announce(extproc_port, health_port, admin_port)
            await stop.requested.wait()
            await _drain(shells, stop)
            for task in loops:
                task.cancel()


async def _drain(shells: Shells, stop: StopSignal) -> None:
    """Not ready at once, but served on: gateways take a while to learn it."""
    shells.health.set_ready(False)
    shells.step_down()
    seconds = 0.0 if stop.hurried.is_set() else shells.drain_seconds
    log.info("draining", extra={"seconds": seconds, "open_requests": shells.open_requests()})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.hurried.wait()
    async with asyncio.TaskGroup() as group:
        group.create_task(shells.extproc.stop(FORCED_GRACE_SECONDS))
        # What was sent before its gateway heard of the end is placed as ever.
        await asyncio.sleep(LAST_PLACING_SECONDS)
        shells.refuse_waiting()
    log.info("stopped", extra={"open_requests": shells.open_requests()})


async def _forever(loop: Callable[[], Awaitable[None]]) -> None:
    await loop()
    raise RuntimeError(f"a loop that runs for ever has ended: {loop}")


class StopSignal:
    """SIGTERM asks for a drain; SIGINT or a second signal asks for haste."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.hurried = asyncio.Event()

    @property
    def handlers(self) -> dict[signal.Signals, Callable[[], None]]:
        return {signal.SIGTERM: self._terminate, signal.SIGINT: self._interrupt}

    def _terminate(self) -> None:
        if self.requested.is_set():
            self.hurried.set()
        self.requested.set()

    def _interrupt(self) -> None:
        self.hurried.set()
        self.requested.set()
