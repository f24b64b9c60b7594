"""Who waits for an API server is woken by whoever reaches it, and only then."""

from __future__ import annotations

import asyncio
import random

from epp.datalayer.discovery.kubernetes.recovery import Recovery

LONG_SECONDS = 3600.0
TEST_SECONDS = 10.0


async def test_all_who_wait_are_woken() -> None:
    recovery = Recovery(random.Random(1))
    async with asyncio.timeout(TEST_SECONDS), asyncio.TaskGroup() as group:
        waiting = [group.create_task(recovery.wait(LONG_SECONDS)) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        recovery.reached()


async def test_who_comes_later_waits_for_the_next_time() -> None:
    recovery = Recovery(random.Random(1))
    recovery.reached()
    async with asyncio.timeout(TEST_SECONDS), asyncio.TaskGroup() as group:
        late = group.create_task(recovery.wait(LONG_SECONDS))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not late.done()
        recovery.reached()


async def test_nobody_waits_longer_than_asked() -> None:
    async with asyncio.timeout(TEST_SECONDS):
        await Recovery(random.Random(1)).wait(0.01)
