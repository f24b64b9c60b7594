"""Signals that a running loop takes over for a while."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping


@contextlib.contextmanager
def signal_handlers(handlers: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Each is called by the running loop when its signal comes, until the block ends.

    After it a signal does what it does by default: a loop of uvloop that is closed with handlers
    leaves them behind, and a Ctrl-C that finds them is lost.
    """
    loop = asyncio.get_running_loop()
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
