"""The shell on real sockets: what needs time, and what ends connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio
import h2.config
import h2.connection
import h2.events
import h2.settings

from epp.extproc.transport.http2.server import (
    SLICE_BYTES,
    ConnectionShell,
    Http2Server,
    Http2Settings,
)
from epp.extproc.transport.http2.settings import Limits
from epp.extproc.transport.interfaces import Stream
from tests.helpers.http2 import frame, settings_frame

METHOD = "/test.Echo/Call"
LIMITS = Limits()


@dataclass
class Echo:
    """Sends back what comes, and counts how its calls end."""

    opened: int = 0
    closed: int = 0
    all_closed: asyncio.Event = field(default_factory=asyncio.Event)

    def open(self, stream: Stream, _metadata: Mapping[str, str]) -> EchoSession:
        self.opened += 1
        return EchoSession(self, stream)


class EchoSession:
    def __init__(self, echo: Echo, stream: Stream) -> None:
        self._echo = echo
        self._stream = stream

    def received(self, message: bytes) -> None:
        self._stream.send(message)

    def half_closed(self) -> None:
        self._stream.finish()

    def closed(self) -> None:
        self._echo.closed += 1
        if self._echo.closed == self._echo.opened:
            self._echo.all_closed.set()


@asynccontextmanager
async def serving(limits: Limits = LIMITS) -> AsyncIterator[tuple[Http2Server, Echo, int]]:
    echo = Echo()
    server = Http2Server(
        Http2Settings("127.0.0.1", 0, limits, tick_seconds=0.02), {METHOD: echo.open}, None
    )
    port = await server.start()
    try:
        yield server, echo, port
    finally:
        await server.stop(0)


class RawClient:
    """hyper-h2 on a socket, without any behaviour of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()

    @classmethod
    @asynccontextmanager
    async def connected(cls, port: int) -> AsyncIterator[RawClient]:
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        try:
            yield client
        finally:
            client.writer.close()

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def call(self, *messages: bytes) -> int:
        stream_id: int = self.h2.get_next_available_stream_id()
        head = [(":method", "POST"), (":scheme", "http"), (":path", METHOD), (":authority", "t")]
        self.h2.send_headers(stream_id, [*head, ("content-type", "application/grpc")])
        for message in messages:
            self.h2.send_data(stream_id, b"\0" + len(message).to_bytes(4, "big") + message)
        self.flush()
        return stream_id

    async def until(self, kind: type[h2.events.Event]) -> h2.events.Event:
        """Reads until such an event came. ConnectionTerminated is one."""
        async with asyncio.timeout(10):
            while True:
                data = await self.reader.read(65536)
                assert data, f"the connection ended before {kind.__name__}"
                for event in self.h2.receive_data(data):
                    if isinstance(event, kind):
                        return event

    async def until_end(self) -> None:
        async with asyncio.timeout(10):
            while await self.reader.read(65536):
                pass


async def test_who_sends_no_preface_is_sent_away() -> None:
    async with serving(Limits(preface_seconds=0.01)) as (server, _, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(10):
            assert await reader.read(9) != b""  # our SETTINGS
            await reader.read()
        writer.close()
        assert not server.connections


async def test_a_peer_that_is_gone_without_a_word_holds_nothing() -> None:
    limits = Limits(keepalive_seconds=0.01, keepalive_timeout_seconds=0.01)
    async with serving(limits) as (_, echo, port), RawClient.connected(port) as client:
        client.call(b"x")
        async with asyncio.timeout(10):
            await echo.all_closed.wait()  # it answers no ping
        await client.until_end()


async def test_a_peer_that_answers_pings_stays() -> None:
    limits = Limits(keepalive_seconds=0.01, keepalive_timeout_seconds=5.0)
    async with serving(limits) as (server, echo, port), RawClient.connected(port) as client:
        client.call(b"x")
        for _ in range(3):
            await client.until(h2.events.PingReceived)
            client.flush()
        assert (len(server.connections), echo.closed) == (1, 0)


async def test_a_call_whose_peer_takes_nothing_is_reset() -> None:
    limits = Limits(stall_seconds=0.2)
    async with serving(limits) as (_, echo, port), RawClient.connected(port) as client:
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        client.flush()
        stalled = client.call(b"x" * 100)
        reset = await client.until(h2.events.StreamReset)
        assert isinstance(reset, h2.events.StreamReset)
        assert reset.stream_id == stalled
        assert echo.all_closed.is_set()


async def test_large_reads_are_worked_off_in_order() -> None:
    async with (
        serving() as (_, _, port),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):

        async def one(size: int) -> None:
            call = channel.stream_stream(METHOD)()
            sent = [bytes([n % 256]) * size for n in range(20)]
            for message in sent:
                await call.write(message)
            await call.done_writing()
            assert [message async for message in call] == sent

        await asyncio.gather(*(one(size) for size in (0, 1, 100, 5000, 70_000, 300_000)))


async def test_stopping_lets_open_calls_end() -> None:
    async with serving() as (server, echo, port), RawClient.connected(port) as client:
        open_call = client.call(b"x")
        await client.until(h2.events.DataReceived)
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(server.stop(5.0))
            await client.until(h2.events.ConnectionTerminated)  # GOAWAY; streams go on
            assert not stopping.done()
            # hyper-h2 writes nothing after GOAWAY, so the end of the call is written by hand.
            client.writer.write(b"\0\0\0\0\x01" + open_call.to_bytes(4, "big"))
        assert echo.closed == 1


async def test_what_does_not_end_is_cut_when_the_grace_is_over() -> None:
    async with serving() as (server, echo, port), RawClient.connected(port) as client:
        client.call(b"x")
        await client.until(h2.events.DataReceived)
        await server.stop(0.05)
        assert echo.closed == 1
        await client.until_end()
        assert not server.connections


class Wire(asyncio.Transport):
    """A socket that takes everything, and notes whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def write(self, data: object) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return False


async def test_after_a_large_read_others_have_their_turn() -> None:
    async with serving() as (server, _, _):
        wire, shell = Wire(), ConnectionShell(server)
        shell.connection_made(wire)
        shell.data_received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings_frame({}))
        ping = frame(6, 0, 0, bytes(8))
        shell.data_received(ping)
        assert wire.reading
        shell.data_received(ping * (SLICE_BYTES // len(ping) + 1))
        assert not wire.reading  # even if all of it is done
        for _ in range(3):
            await asyncio.sleep(0)
        assert wire.reading
        shell.data_received(ping)
        assert wire.reading
        shell.connection_lost(None)
