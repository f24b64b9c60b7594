"""Thousands of answers at once through Envoy: none is refused or sent on without a pick."""

from __future__ import annotations

import asyncio

import aiohttp

from epp.envoyconfig.bootstrap import bootstrap
from epp.envoyconfig.settings import EnvoySettings
from tests.helpers.envoy import RunningEnvoy
from tests.helpers.picker import running_picker

STREAMS = 3000
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b"data: {}\n\n"
CHUNK = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)


class HoldingServer:
    """Begins every answer and ends none before it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.release = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"POST"):
                writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                return
            self.begun += 1
            writer.write(HEAD + CHUNK)
            await self.release.wait()
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the proxy closed an idle connection
        finally:
            writer.close()


async def test_three_thousand_answers_at_once() -> None:
    holding = HoldingServer()
    server = await asyncio.start_server(holding.serve, "127.0.0.1", 0, backlog=STREAMS)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with running_picker([address]) as picker:
        settings = EnvoySettings(
            listen_port=0, admin_port=0, picker_port=picker.grpc_port, model_servers=(address,)
        )
        with RunningEnvoy(bootstrap(settings)) as envoy:
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector) as session:

                async def one() -> int:
                    body = b'{"model": "m", "prompt": "hi"}'
                    url = f"{envoy.url}/v1/completions"
                    async with session.post(url, data=body) as answer:
                        await answer.read()
                        return answer.status

                answers = [asyncio.ensure_future(one()) for _ in range(STREAMS)]
                for _ in range(600):
                    if holding.begun == STREAMS or any(answer.done() for answer in answers):
                        break
                    await asyncio.sleep(0.1)
                assert holding.begun == STREAMS
                held = "llm_d_epp_endpoint_inflight_requests"
                assert await asyncio.to_thread(picker.metric, held) == STREAMS
                holding.release.set()
                assert set(await asyncio.gather(*answers)) == {200}
            stats = await asyncio.to_thread(envoy.stats, "cluster.")
            overflows = {name: n for name, n in stats.items() if "overflow" in name and n}
            assert overflows == {}
            for _ in range(100):
                if await asyncio.to_thread(picker.metric, held) == 0:
                    break
                await asyncio.sleep(0.1)
            assert await asyncio.to_thread(picker.metric, held) == 0
            assert await asyncio.to_thread(picker.metric, "llm_d_epp_request_total") == STREAMS
    server.close()
    await server.wait_closed()
