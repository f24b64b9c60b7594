"""What our transport alone costs: a server on it that decides nothing, as `nullepp` does in Go.

It reads every message with the generated code and knows no more of a request than its phase.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from itertools import count

import uvloop

from epp._pb import ext_proc_pb2 as pb
from epp.extproc import body_messages
from epp.extproc.transport.http2.server import Http2Server, Http2Settings
from epp.extproc.transport.interfaces import Stream

METHOD = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
ECHO_BYTES = 62_000  # of a body in one message

Response = pb.ProcessingResponse
GO_ON = Response(request_headers=pb.HeadersResponse()).SerializeToString()
RESPONSE_GOES_ON = Response(response_headers=pb.HeadersResponse()).SerializeToString()


class Echo:
    def __init__(self, stream: Stream, servers: int, port: int, turn: count[int]) -> None:
        self._stream = stream
        self._pool = servers, port, turn
        self._buffered = False
        self._body: list[bytes] = []

    def received(self, message: bytes) -> None:
        found = body_messages.read(message)
        if found is not None:
            self._received_body(*found)
            return
        request = pb.ProcessingRequest.FromString(message)
        if request.WhichOneof("request") == "response_headers":
            self._stream.send(RESPONSE_GOES_ON)
        elif request.protocol_config.request_body_mode == pb.BUFFERED:
            self._buffered = True
            self._stream.send(GO_ON)

    def _received_body(self, kind: int, data: bytes, last: bool) -> None:
        if kind == body_messages.RESPONSE_BODY:
            self._stream.send(body_messages.reply(kind, data, end_of_stream=last))
            return
        self._body.append(data)
        if self._buffered:
            answer = Response(request_body=pb.BodyResponse(response=self._pick()))
            self._stream.send(answer.SerializeToString())
        elif last:
            answer = Response(request_headers=pb.HeadersResponse(response=self._pick()))
            self._stream.send(answer.SerializeToString())
            body = memoryview(b"".join(self._body))
            for at in range(0, len(body), ECHO_BYTES):
                end = at + ECHO_BYTES >= len(body)
                piece = body[at : at + ECHO_BYTES]
                self._stream.send(body_messages.reply(kind, piece, end_of_stream=end))

    def _pick(self) -> pb.CommonResponse:
        servers, port, turn = self._pool
        index = next(turn) % servers
        common = pb.CommonResponse(clear_route_cache=True)
        option = common.header_mutation.set_headers.add()
        option.header.key = "x-gateway-destination-endpoint"
        option.header.raw_value = f"127.1.{index // 250}.{1 + index % 250}:{port}".encode()
        return common

    def half_closed(self) -> None:
        self._stream.finish()

    def closed(self) -> None:
        pass


async def serve(arguments: argparse.Namespace) -> None:
    turn = count(1)

    def open_session(stream: Stream, _metadata: Mapping[str, str]) -> Echo:
        return Echo(stream, arguments.n, arguments.sim_port, turn)

    settings = Http2Settings("127.0.0.1", arguments.port)
    await Http2Server(settings, {METHOD: open_session}, None).start()
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sim-port", type=int, required=True)
    parser.add_argument("-n", type=int, required=True)
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
