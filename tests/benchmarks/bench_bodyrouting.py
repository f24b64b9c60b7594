"""CPU of a body router a request: its own code alone, and with `--process` the whole process.

The process is asked over grpcio on loopback; its CPU time, user and system, is read from /proc.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

import orjson
from envoy.service.ext_proc.v3 import external_processor_pb2 as xds

from epp.bodyrouting.basemodels import NO_BASE_MODELS
from epp.bodyrouting.metrics import BodyRouterMetrics
from epp.bodyrouting.session import BodyRouter
from epp.bodyrouting.settings import RoutingSettings
from tests.helpers import gateway
from tests.helpers.bodyrouting import running_body_router

PIECE_BYTES = 64 << 10  # as Envoy reads from a socket, more or less
TICKS = os.sysconf("SC_CLK_TCK")


class Sink:
    def send(self, message: bytes) -> None:
        pass

    def finish(self, status: int = 0, text: str = "") -> None:
        pass


def conversation(size: int, *, full: bool, last: bool) -> list[bytes]:
    text = "the answer is in the following paragraph of the document " * (size // 57 + 1)
    document = {
        "model": "m",
        "stream": True,
        "messages": [{"role": "user", "content": text[:size]}],
    }
    if last:
        document["model"] = document.pop("model")
    body = orjson.dumps(document)
    headers = [("content-type", "application/json"), ("x-request-id", "r-1")]
    headers += [(f"x-header-{n}", "some value") for n in range(8)]
    mode = gateway.FULL if full else gateway.BUFFERED
    messages = [gateway.request_headers(mode, gateway.NONE, headers=headers)]
    step = PIECE_BYTES if full else len(body)
    for start in range(0, len(body), step):
        piece = body[start : start + step]
        messages.append(gateway.request_body(piece, start + step >= len(body)))
    return [message.SerializeToString() for message in messages]


CELLS = [
    (f"{name}, {mode}, model {'last' if last else 'first'}", size, mode == "full", last)
    for name, size in (("900 characters", 900), ("5 MB", 5_000_000))
    for mode in ("full", "buffered")
    for last in (False, True)
]


def own_code(messages: list[bytes], times: int) -> float:
    """Microseconds a request."""
    router = BodyRouter(RoutingSettings(), lambda: NO_BASE_MODELS, BodyRouterMetrics())
    start = time.process_time()
    for _ in range(times):
        session = router.open(Sink(), {})
        for message in messages:
            session.received(message)
        session.half_closed()
        session.closed()
    return (time.process_time() - start) / times * 1e6


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def whole_process(messages: list[bytes], times: int, at_once: int) -> float:
    """Microseconds of CPU a request."""
    with running_body_router(("-v", "2")) as router:
        async with gateway.a_gateway(router.grpc_port) as client:

            async def ask(count: int) -> None:
                for _ in range(count):
                    call = client.open()
                    await call.send(*messages)
                    await call.half_close()
                    while (reply := await call.receive()) is not None:
                        assert isinstance(reply, xds.ProcessingResponse)

            await ask(max(1, times // 20))
            before = cpu_seconds(router.pid)
            async with asyncio.TaskGroup() as group:
                for _ in range(at_once):
                    group.create_task(ask(times // at_once))
            return (cpu_seconds(router.pid) - before) / times * 1e6


async def main() -> None:
    for name, size, full, last in CELLS:
        messages = conversation(size, full=full, last=last)
        times = 4000 if size < 10_000 else 40
        own_code(messages, times // 4)
        line = f"{name:40} own code {own_code(messages, times):9.1f} us"
        if "--process" in sys.argv:
            line += f"   process {await whole_process(messages, times, 4):9.1f} us CPU"
        print(line, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
