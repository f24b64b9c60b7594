"""The shell around the HTTP/2 core: sockets, TLS, timers, drain. Decides nothing."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import cast

from epp.extproc.transport.http2.connection import Connection
from epp.extproc.transport.http2.faults import ConnectionFault, ErrorCode
from epp.extproc.transport.http2.sender import Piece
from epp.extproc.transport.http2.settings import Limits
from epp.extproc.transport.interfaces import Services
from epp.extproc.transport.server_context import server_context
from epp.extproc.transport.tls import Certificates
from epp.extproc.transport.tls_policy import TlsPolicy

log = logging.getLogger(__name__)

# Written in one piece up to here; beyond, every piece by itself, which copies nothing.
JOINED_BYTES = 64 << 10
# The socket's buffer above which nothing but control frames is added.
UNWRITTEN_BYTES = 1 << 20
# Work on one read is spread over several turns of the loop, in slices like this one.
SLICE_BYTES = 32 << 10
TURN_SECONDS = 0.002
# From the first GOAWAY to the one that refuses: requests on their way arrive meanwhile.
LAST_CALL_SECONDS = 0.2
HANDSHAKE_SECONDS = 10.0  # for TLS


@dataclass(frozen=True, slots=True)
class Http2Settings:
    host: str = "0.0.0.0"
    port: int = 9002  # 0: any free one
    limits: Limits = Limits()
    tls: TlsPolicy = TlsPolicy()  # where there are certificates
    backlog: int = 1024
    tick_seconds: float = 1.0  # between looks at deadlines and at peers that do nothing


class ConnectionShell(asyncio.Protocol):
    """One socket. Reads into the core, writes what it gives, once a turn of the loop."""

    def __init__(self, server: Http2Server) -> None:
        self._server = server
        self._loop = server.loop
        self._limits = server.settings.limits
        self._transport: asyncio.Transport | None = None
        self._flush_due: asyncio.Handle | None = None
        self._backlog: memoryview | None = None  # of a read that is not dealt with yet
        self._opened_at = self._heard_at = self._loop.time()
        self._pinged_at: float | None = None
        self._moved_at: dict[int, tuple[int, float]] = {}  # of blocked streams: unsent, since when
        self.core = Connection(server.services, self._limits, self._wake, self._opened_at)

    # Called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(UNWRITTEN_BYTES)
        self._server.connections.add(self)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        self._pinged_at = None
        if self._backlog is not None:  # TLS may have more in hand when reading is paused
            self._backlog = memoryview(bytes(self._backlog) + data)
        elif len(data) <= SLICE_BYTES:
            self.core.receive(data, self._heard_at)
            self._flush()
        else:
            self._work_off(memoryview(data))

    def _work_off(self, data: memoryview) -> None:
        """A read may hold a thousand requests: other connections and timers have their turns.

        Reading goes on in a later turn even if all is done, as libuv would read again at once.
        """
        assert self._transport is not None
        until = self._loop.time() + TURN_SECONDS
        while data and self._loop.time() < until:
            self.core.receive(bytes(data[:SLICE_BYTES]), self._heard_at)
            data = data[SLICE_BYTES:]
        if not self.core.closing:
            if self._backlog is None:
                self._transport.pause_reading()
            self._backlog = data
            self._loop.call_soon(self._go_on)
        self._flush()

    def _go_on(self) -> None:
        if self._backlog is None or self.core.closing:
            return
        if self._backlog:
            self._work_off(self._backlog)
            return
        self._backlog = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.core.sender.paused = True

    def resume_writing(self) -> None:
        self.core.sender.resume()
        self._flush()

    def connection_lost(self, _error: Exception | None) -> None:
        self._backlog = None
        self.core.lost()
        self._server.connections.discard(self)

    # Called by the core and the server.

    def _wake(self) -> None:
        if self._flush_due is None:
            self._flush_due = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._flush_due is not None:
            self._flush_due.cancel()
            self._flush_due = None
        self.core.settle()
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if pieces := self.core.take():
            _write(transport, pieces)
        if self.core.closing:
            transport.close()

    def tick(self, now: float) -> None:
        """What the peer owes us, and deadlines of calls."""
        core, limits = self.core, self._limits
        if not core.ready and now - self._opened_at > limits.preface_seconds:
            core.fail(ConnectionFault(ErrorCode.SETTINGS_TIMEOUT, "no preface and SETTINGS"))
        elif self._pinged_at is not None:
            if now - self._pinged_at > limits.keepalive_timeout_seconds:
                core.fail(ConnectionFault(ErrorCode.NO_ERROR, "the peer does not answer"))
        elif now - self._heard_at > limits.keepalive_seconds:
            self._pinged_at = now
            core.ping()
        core.expire(now)
        self._abandon_stalled(now)
        if core.closing and self._transport is not None and self._transport.is_closing():
            self._transport.abort()  # it had a tick to take our last words
        self._flush()

    def _abandon_stalled(self, now: float) -> None:
        blocked = self.core.sender.blocked
        moved_at = {}
        for stream in list(blocked.values()):
            unsent, since = self._moved_at.get(stream.id, (-1, now))
            if unsent != stream.unsent_bytes:
                since = now
            if now - since > self._limits.stall_seconds:
                self.core.abandon(stream, ErrorCode.CANCEL)
            else:
                moved_at[stream.id] = (stream.unsent_bytes, since)
        self._moved_at = moved_at

    def close(self) -> None:
        self.core.lost()
        self._flush()

    def abort(self) -> None:
        self.core.lost()
        if self._transport is not None:
            self._transport.abort()


def _write(transport: asyncio.Transport, pieces: list[Piece]) -> None:
    if len(pieces) == 1:
        transport.write(pieces[0])
    elif sum(map(len, pieces)) <= JOINED_BYTES:
        transport.write(b"".join(pieces))
    else:
        transport.writelines(pieces)


class Http2Server:
    """Implements the transport's `Server`."""

    def __init__(
        self, settings: Http2Settings, services: Services, certificates: Certificates | None
    ) -> None:
        self.settings = settings
        self.services = services
        self.connections: set[ConnectionShell] = set()
        self.loop: asyncio.AbstractEventLoop
        self._certificates = certificates
        self._server: asyncio.Server | None = None
        self._ticker: asyncio.TimerHandle | None = None

    async def start(self) -> int:
        self.loop = asyncio.get_running_loop()
        settings = self.settings
        context = None
        if self._certificates is not None:
            context = server_context(self._certificates, settings.tls, ("h2",))
        try:
            self._server = await self.loop.create_server(
                lambda: ConnectionShell(self),
                settings.host,
                settings.port,
                backlog=settings.backlog,
                ssl=context,
                ssl_handshake_timeout=None if context is None else HANDSHAKE_SECONDS,
            )
        except OSError as error:
            address = f"{settings.host}:{settings.port}"
            raise OSError(f"cannot listen on {address} for gRPC: {error}") from error
        self._ticker = self.loop.call_later(self.settings.tick_seconds, self._tick)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self, grace_seconds: float) -> None:
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for connection in list(self.connections):
            connection.core.announce_end()
        until = self.loop.time() + grace_seconds
        await asyncio.sleep(min(LAST_CALL_SECONDS, grace_seconds))
        for connection in list(self.connections):
            connection.core.refuse_new()
        while self._open_calls() and self.loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.close()
        await asyncio.sleep(0)  # what was written last goes out
        for connection in list(self.connections):
            connection.abort()
        if self._ticker is not None:
            self._ticker.cancel()

    def _open_calls(self) -> int:
        return sum(len(connection.core.streams) for connection in self.connections)

    def _tick(self) -> None:
        now = self.loop.time()
        for connection in list(self.connections):
            connection.tick(now)
        self._ticker = self.loop.call_later(self.settings.tick_seconds, self._tick)
