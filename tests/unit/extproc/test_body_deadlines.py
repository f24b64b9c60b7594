"""One timer for all streams that wait for a body."""

from __future__ import annotations

import asyncio

import pytest

from epp.extproc.body_deadlines import BodyDeadlines


class Reader:
    def __init__(self, deadlines: BodyDeadlines) -> None:
        self.expired = asyncio.Event()
        self._deadlines = deadlines

    def body_expired(self) -> None:
        assert self not in self._deadlines._due
        self._deadlines.leave(self)  # as a stream does that ends
        self.expired.set()


async def test_each_is_told_once_it_is_late() -> None:
    loop = asyncio.get_running_loop()
    deadlines = BodyDeadlines(loop.time, 0.5)
    first, came, last = (Reader(deadlines) for _ in range(3))
    began = loop.time()
    deadlines.enter(first)
    deadlines.enter(came)
    await asyncio.sleep(0.01)
    deadlines.enter(last)
    deadlines.leave(came)
    async with asyncio.timeout(5):
        await first.expired.wait()
        assert not last.expired.is_set() or loop.time() - began >= 0.51
        await last.expired.wait()
    assert not came.expired.is_set()
    assert len(deadlines) == 0


async def test_a_timer_that_finds_nobody_is_set_again_for_who_comes() -> None:
    loop = asyncio.get_running_loop()
    deadlines = BodyDeadlines(loop.time, 0.01)
    gone, late = Reader(deadlines), Reader(deadlines)
    deadlines.enter(gone)
    deadlines.leave(gone)
    await asyncio.sleep(0.03)
    deadlines.enter(late)
    async with asyncio.timeout(5):
        await late.expired.wait()
    assert not gone.expired.is_set()


async def test_a_bug_in_one_keeps_no_other_from_being_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Reader):
        def body_expired(self) -> None:
            raise ZeroDivisionError("planted")

    deadlines = BodyDeadlines(asyncio.get_running_loop().time, 0.01)
    last = Reader(deadlines)
    deadlines.enter(Broken(deadlines))
    deadlines.enter(last)
    async with asyncio.timeout(5):
        await last.expired.wait()
    assert "bug: a stream could not be told" in caplog.text


async def test_a_clock_that_lags_behind_the_timer_costs_another_look_only() -> None:
    times = iter([0.0, 0.009, 0.010])
    deadlines = BodyDeadlines(lambda: next(times), 0.01)
    reader = Reader(deadlines)
    deadlines.enter(reader)
    async with asyncio.timeout(5):
        await reader.expired.wait()
    assert next(times, None) is None
