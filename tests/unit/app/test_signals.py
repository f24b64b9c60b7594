from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

import pytest
import uvloop

from epp.app.signals import signal_handlers


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("fails", [False, True])
def test_a_signal_is_handled_in_the_block_and_as_before_after_it(
    run: Callable[[Awaitable[None]], None], fails: bool
) -> None:
    async def interrupted() -> None:
        heard = asyncio.Event()
        with signal_handlers({signal.SIGINT: heard.set}):
            signal.raise_signal(signal.SIGINT)
            async with asyncio.timeout(10):
                await heard.wait()
            if fails:
                raise OSError("no such device")

    with pytest.raises(OSError, match="no such device") if fails else nullcontext():
        run(interrupted())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
