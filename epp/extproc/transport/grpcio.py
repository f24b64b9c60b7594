"""The transport on grpcio's asyncio server. Nothing of grpc is visible outside this module."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

import grpc
import grpc.aio

from epp.extproc.transport.interfaces import (
    Metadata,
    OpenSession,
    Services,
    Session,
    Status,
)
from epp.extproc.transport.tls import Certificates

log = logging.getLogger(__name__)

# types-grpcio leaves the messages of a generic handler open; here they are bytes.
Context = grpc.aio.ServicerContext[bytes, bytes]

# What a read yields after the last message.
_EOF: object = grpc.aio.EOF

MANY = 1_000_000

CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class GrpcioSettings:
    host: str = "0.0.0.0"
    port: int = 9002  # 0: any free one
    max_receive_bytes: int = 64 << 20  # of one message, decompressed
    max_send_bytes: int = -1  # -1: no limit


class GrpcioStream:
    """Collects what a session sends. The call's own task writes it, or a flusher between reads."""

    def __init__(self, context: Context, flushers: set[asyncio.Task[None]]) -> None:
        self.status: tuple[Status, str] | None = None
        self.closed = False
        self.ended = asyncio.Event()
        self.in_session = False  # the call's own task runs session code and will flush after it
        self.reading = False  # the call's own task waits for a message
        self._context = context
        self._flushers = flushers
        self._task = asyncio.current_task()
        self._outbox: deque[bytes] = deque()
        self._lock = asyncio.Lock()

    def send(self, message: bytes) -> None:
        if self.closed or self.status is not None:
            return
        self._outbox.append(message)
        self._flush_later()

    def finish(self, status: Status = Status.OK, text: str = "") -> None:
        if self.closed or self.status is not None:
            return
        self.status = (status, text)
        self.ended.set()
        self._flush_later()

    async def flush(self) -> None:
        async with self._lock:
            while self._outbox:
                await self._context.write(self._outbox.popleft())

    def _flush_later(self) -> None:
        if self.in_session or self._lock.locked():
            return
        flusher = asyncio.get_running_loop().create_task(self._flush_from_outside())
        self._flushers.add(flusher)
        flusher.add_done_callback(self._flushers.discard)

    async def _flush_from_outside(self) -> None:
        try:
            await self.flush()
        except (asyncio.CancelledError, grpc.aio.BaseError, asyncio.InvalidStateError) as error:
            # The call is over; its own task learns that from its read and closes the session.
            log.debug("could not write to a stream that ended: %r", error)
            return
        if self.status is not None and self.reading and self._task is not None:
            self._task.cancel()  # nothing else ends a pending read


class GrpcioServer:
    def __init__(
        self, settings: GrpcioSettings, services: Services, certificates: Certificates | None
    ) -> None:
        self._settings = settings
        self._services = services
        self._certificates = certificates
        self._server: grpc.aio.Server | None = None

    async def start(self) -> int:
        settings = self._settings
        server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", settings.max_receive_bytes),
                ("grpc.max_send_message_length", settings.max_send_bytes),
                ("grpc.max_concurrent_streams", MANY),
                # From 1000 calls on that wait to be taken up, grpc refuses some at random; with
                # fail-open those would reach a server without a pick.
                ("grpc.server.max_pending_requests", MANY),
                ("grpc.server.max_pending_requests_hard_limit", MANY),
                ("grpc.http2.max_ping_strikes", 0),
            ]
        )
        server.add_generic_rpc_handlers((_Router(self._services),))
        address = f"{_bracketed(settings.host)}:{settings.port}"
        try:
            if self._certificates is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, _credentials(self._certificates))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address} for gRPC: {error}") from error
        if port == 0:
            raise OSError(f"cannot listen on {address} for gRPC")
        await server.start()
        self._server = server
        return port

    async def stop(self, grace_seconds: float) -> None:
        if self._server is not None:
            await self._server.stop(grace_seconds)


class _Router(grpc.GenericRpcHandler):
    """Gives every known method a handler; others are UNIMPLEMENTED by grpcio itself."""

    def __init__(self, services: Services) -> None:
        self._flushers: set[asyncio.Task[None]] = set()  # the loop itself holds tasks weakly
        self._handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            method: grpc.stream_stream_rpc_method_handler(_handler(open_session, self._flushers))
            for method, open_session in services.items()
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        return self._handlers.get(handler_call_details.method)


def _handler(open_session: OpenSession, flushers: set[asyncio.Task[None]]):  # type: ignore[no-untyped-def] # grpcio has no type for it
    async def serve(_requests: object, context: Context) -> None:
        stream = GrpcioStream(context, flushers)
        session = open_session(stream, _metadata(context))
        try:
            await _serve(session, stream, context)
        finally:
            stream.closed = True
            session.closed()
        if stream.status is not None and stream.status[0] is not Status.OK:
            status, text = stream.status
            await context.abort(CODES[status], text)

    return serve


async def _serve(session: Session, stream: GrpcioStream, context: Context) -> None:
    """Read, let the session answer, write. A call that the client cancels is cancelled here."""
    while stream.status is None:
        stream.reading = True
        try:
            message = await context.read()
        except asyncio.CancelledError:
            if stream.status is None:
                raise
            break  # our own way to end a pending read
        finally:
            stream.reading = False
        stream.in_session = True
        try:
            if message is _EOF:
                session.half_closed()
            else:
                session.received(message)
        finally:
            stream.in_session = False
        await stream.flush()
        if message is _EOF:
            await stream.ended.wait()
    await stream.flush()


def _metadata(context: Context) -> Metadata:
    pairs = context.invocation_metadata() or ()
    return {key: value if isinstance(value, str) else "" for key, value in pairs}


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Asks for the certificate at every handshake, so a renewed one is used at once."""

    def configuration() -> grpc.ServerCertificateConfiguration:
        key, chain = certificates.current()
        return grpc.ssl_server_certificate_configuration([(key, chain)])

    return grpc.dynamic_ssl_server_credentials(configuration(), configuration)
