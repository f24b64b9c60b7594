"""Streams that end at random moments, in all the ways a gateway can end them."""

from __future__ import annotations

import asyncio
import random

import grpc.aio

from epp.simulation.server import SimulatedServer
from epp.simulation.settings import ServerSettings
from tests.helpers.gateway import (
    BODY,
    BUFFERED,
    FULL,
    Gateway,
    a_gateway,
    request_body,
    request_headers,
    response_body,
    response_headers,
)
from tests.helpers.picker import running_picker

STREAMS = 1500
AT_ONCE = 60
FEW_PLACES = {
    "plugins": [
        {"type": "queue-scorer"},
        {"type": "prefix-cache-scorer"},
        {"type": "concurrency-detector", "parameters": {"maxConcurrency": 5}},
    ],
    "flowControl": {
        "saturationDetector": {"pluginRef": "concurrency-detector"},
        "defaultRequestTTL": "300ms",
    },
}

OTHER_SIDE_WAS_FASTER = (
    grpc.aio.AioRpcError,
    grpc.aio.InternalError,  # a half-close of a call that has ended
    asyncio.InvalidStateError,
    TimeoutError,
    asyncio.CancelledError,
)


async def one(gateway: Gateway, rng: random.Random) -> None:
    mode = rng.choice([FULL, BUFFERED])
    call = gateway.open()
    messages = [request_headers(mode), request_body(BODY), response_headers()]
    if mode == FULL:
        messages += [response_body(b"data: {}\n\n"), response_body(b"", True)]
    try:
        for message in messages[: rng.randrange(len(messages) + 1)]:
            await call.send(message)
            if rng.random() < 0.5:
                await asyncio.wait_for(call.receive(), 0.2 * rng.random())
        if rng.random() < 0.5:
            await call.half_close()
            while await call.receive() is not None:
                pass
        call.cancel()
    except OTHER_SIDE_WAS_FASTER:
        call.cancel()


async def test_nothing_stays_held_and_nothing_is_logged_as_a_bug() -> None:
    rng = random.Random(7)
    async with SimulatedServer(ServerSettings()) as server:
        with running_picker([f"127.0.0.1:{server.port}"], document=FEW_PLACES) as picker:
            async with a_gateway(picker.grpc_port) as gateway:
                free = asyncio.Semaphore(AT_ONCE)

                async def bounded() -> None:
                    async with free:
                        await one(gateway, rng)

                async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                    for _ in range(STREAMS):
                        group.create_task(bounded())
            for _ in range(100):
                found = await asyncio.to_thread(picker.metrics)
                held = sum(v for k, v in found.items() if "endpoint_inflight_requests" in k)
                waiting = sum(v for k, v in found.items() if "flow_control_queue_size" in k)
                running = sum(v for k, v in found.items() if "request_running" in k)
                if held == waiting == running == 0:
                    break
                await asyncio.sleep(0.05)
            assert (held, waiting, running) == (0, 0, 0)
            decided = sum(v for k, v in found.items() if "flow_control_requests_total" in k)
            assert decided > STREAMS / 4
            log = picker.log()
    assert "stacktrace" not in log
    assert "Traceback" not in log
    assert '"level":"error"' not in log
