"""Plays the gateway's side of ext-proc with grpcio and xds-protos: codecs that are not ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from envoy.extensions.filters.http.ext_proc.v3 import processing_mode_pb2 as modes
from envoy.service.ext_proc.v3 import external_processor_pb2 as xds

METHOD = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
HEALTH = "/grpc.health.v1.Health/Check"
FULL = modes.ProcessingMode.FULL_DUPLEX_STREAMED
BUFFERED = modes.ProcessingMode.BUFFERED
NONE = modes.ProcessingMode.NONE

BODY = b'{"model": "sim", "messages": [{"role": "user", "content": "hi"}]}'


def request_headers(
    request_mode: int = FULL,
    response_mode: int | None = None,
    *,
    path: str = "/v1/chat/completions",
    method: str = "POST",
    end_of_stream: bool = False,
    headers: Sequence[tuple[str, str]] = (),
    subset: object = None,
) -> Any:
    message = xds.ProcessingRequest()
    message.protocol_config.request_body_mode = request_mode  # type: ignore[assignment]
    if response_mode is None:
        response_mode = FULL if request_mode == FULL else NONE
    message.protocol_config.response_body_mode = response_mode  # type: ignore[assignment]
    message.request_headers.end_of_stream = end_of_stream
    for key, value in ((":path", path), (":method", method), *headers):
        message.request_headers.headers.headers.add(key=key, raw_value=value.encode())
    if subset is not None:
        struct = message.metadata_context.filter_metadata["envoy.lb.subset_hint"]
        struct.update({"x-gateway-destination-endpoint-subset": subset})
    return message


def request_body(data: bytes, end_of_stream: bool = True) -> Any:
    message = xds.ProcessingRequest()
    message.request_body.body = data
    message.request_body.end_of_stream = end_of_stream
    return message


def request_trailers() -> Any:
    message = xds.ProcessingRequest()
    message.request_trailers.SetInParent()
    return message


def response_headers(status: int = 200, served: str = "", end_of_stream: bool = False) -> Any:
    message = xds.ProcessingRequest()
    message.response_headers.headers.headers.add(key=":status", raw_value=str(status).encode())
    message.response_headers.end_of_stream = end_of_stream
    if served:
        struct = message.metadata_context.filter_metadata["envoy.lb"]
        struct.update({"x-gateway-destination-endpoint-served": served})
    return message


def response_body(data: bytes, end_of_stream: bool = False) -> Any:
    message = xds.ProcessingRequest()
    message.response_body.body = data
    message.response_body.end_of_stream = end_of_stream
    return message


class Call:
    """One ext-proc stream."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def send(self, *messages: Any) -> None:
        for message in messages:
            await self._call.write(
                message if isinstance(message, bytes) else message.SerializeToString()
            )

    async def receive(self) -> Any:
        """The next message, or None at the end of the stream. Raises grpc.aio.AioRpcError."""
        data = await self._call.read()
        return None if data is grpc.aio.EOF else xds.ProcessingResponse.FromString(data)

    async def ask(self, *messages: Any) -> Any:
        await self.send(*messages)
        return await self.receive()

    async def half_close(self) -> None:
        await self._call.done_writing()

    def cancel(self) -> None:
        self._call.cancel()

    async def status(self) -> tuple[grpc.StatusCode, str]:
        return await self._call.code(), await self._call.details()


class Gateway:
    def __init__(self, channel: grpc.aio.Channel, metadata: Sequence[tuple[str, str]]) -> None:
        self._channel = channel
        self._metadata = tuple(metadata)

    def open(self, compression: grpc.Compression | None = None) -> Call:
        make = self._channel.stream_stream(METHOD)
        return Call(make(metadata=self._metadata, compression=compression))


@asynccontextmanager
async def a_gateway(
    port: int,
    *,
    lists: bool = False,
    credentials: grpc.ChannelCredentials | None = None,
    window_bytes: int | None = None,
) -> AsyncIterator[Gateway]:
    """`window_bytes` is a fixed flow-control window; by default grpc finds one that is large."""
    options: tuple[tuple[str, int | str], ...] = (
        ("grpc.max_send_message_length", 128 << 20),
        ("grpc.max_receive_message_length", 128 << 20),
        ("grpc.ssl_target_name_override", "localhost"),
    )
    if window_bytes is not None:
        options += (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", window_bytes))
    target = f"127.0.0.1:{port}"
    if credentials is None:
        channel = grpc.aio.insecure_channel(target, options=options)
    else:
        channel = grpc.aio.secure_channel(target, credentials, options=options)
    async with channel:
        yield Gateway(channel, [("x-epp-gateway", "lists")] if lists else [])


def destination(reply: Any) -> str:
    """The pick in the header; it must be the text in the metadata too."""
    kind = reply.WhichOneof("response")
    common = getattr(reply, kind).response
    assert common.clear_route_cache
    [text] = [
        option.header.raw_value.decode()
        for option in common.header_mutation.set_headers
        if option.header.key == "x-gateway-destination-endpoint"
    ]
    assert reply.dynamic_metadata["envoy.lb"]["x-gateway-destination-endpoint"] == text
    return text


async def health(port: int, service: str = "") -> str:
    """SERVING, NOT_SERVING, SERVICE_UNKNOWN, or the gRPC status of an error."""
    request = b"\x0a" + bytes([len(service)]) + service.encode() if service else b""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            answer = await channel.unary_unary(HEALTH)(request, timeout=5)
        except grpc.aio.AioRpcError as error:
            return error.code().name
    words = {b"\x08\x01": "SERVING", b"\x08\x02": "NOT_SERVING", b"\x08\x03": "SERVICE_UNKNOWN"}
    return words[answer]
