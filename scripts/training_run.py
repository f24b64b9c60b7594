"""A picker under load for some seconds, for the C compiler to see which way requests take.

Real processes on loopback: simulated model servers, the picker, and a gRPC client that plays the
gateway. What it sends is what is frequent: chats short and long, answered at once or in many
pieces, in full and in light mode. The picker is the `epp` that this process finds first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import grpc

from epp._pb import ext_proc_pb2 as pb
from epp.local.stack import HOST, StackSettings, start_picker

METHOD = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
LOAD_SECONDS = 120.0  # at most
AT_ONCE = 32
MODEL_SERVERS = 10
# Characters of the prompt, pieces of the answer, light mode, requests.
KINDS = (
    (900, 1, False, 1500),
    (900, 1, True, 1000),
    (900, 100, False, 50),
    (10_000, 1, False, 400),
    (400_000, 20, False, 12),
)
WORDS = ("every", "answer", "is", "in", "this", "text")
PIECE = b'data: {"id":"a","choices":[{"index":0,"delta":{"content":" word"}}]}\n\n'
LAST = (
    b'data: {"id":"a","choices":[],"usage":{"prompt_tokens":200,"completion_tokens":40,'
    b'"total_tokens":240}}\n\ndata: [DONE]\n\n'
)


class TrainingFailed(Exception):
    """The picker answered wrongly."""


def header_map(fields: dict[str, str]) -> pb.HttpHeaders:
    values = [pb.HeaderValue(key=name, raw_value=text.encode()) for name, text in fields.items()]
    return pb.HttpHeaders(headers=pb.HeaderMap(headers=values))


def messages(rng: random.Random, characters: int, pieces: int, *, light: bool) -> list[bytes]:
    """Of one request, as a gateway sends them."""
    prompt = " ".join(rng.choices(WORDS, k=characters // 5))
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": prompt}]
    body = json.dumps({"model": "m", "stream": True, "messages": chat}).encode()
    fields = {
        ":method": "POST",
        ":path": "/v1/chat/completions",
        ":scheme": "http",
        ":authority": "gateway:8080",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "user-agent": "client/1.0",
        "x-forwarded-proto": "http",
        "x-request-id": f"{rng.getrandbits(128):032x}",
    }
    modes = pb.ProtocolConfiguration(
        request_body_mode=pb.BUFFERED if light else pb.FULL_DUPLEX_STREAMED,
        response_body_mode=pb.NONE if light else pb.FULL_DUPLEX_STREAMED,
    )
    answered = {":status": "200", "content-type": "text/event-stream"}
    sent = [pb.ProcessingRequest(request_headers=header_map(fields), protocol_config=modes)]
    parts = [body[at : at + 62_000] for at in range(0, len(body), 62_000)]
    for part in parts:
        last = part is parts[-1]
        sent.append(pb.ProcessingRequest(request_body=pb.HttpBody(body=part, end_of_stream=last)))
    sent.append(pb.ProcessingRequest(response_headers=header_map(answered)))
    if not light:
        for piece in (*[PIECE] * pieces, LAST):
            chunk = pb.HttpBody(body=piece, end_of_stream=piece is LAST)
            sent.append(pb.ProcessingRequest(response_body=chunk))
    return [message.SerializeToString() for message in sent]


async def ask(channel: grpc.aio.Channel, sent: Sequence[bytes]) -> None:
    answers = [answer async for answer in channel.stream_stream(METHOD)(iter(sent))]
    first = pb.ProcessingResponse.FromString(answers[0])
    if first.HasField("immediate_response") or len(answers) < 2:
        raise TrainingFailed(f"the picker answered {first}")


async def load(port: int) -> None:
    rng = random.Random(1)
    requests = [
        messages(rng, characters, pieces, light=light)
        for characters, pieces, light, times in KINDS
        for _ in range(times)
    ]
    rng.shuffle(requests)
    waiting = iter(requests)

    async def worker(channel: grpc.aio.Channel) -> None:
        for sent in waiting:
            await ask(channel, sent)

    options = [
        *(("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)),
        ("grpc.enable_http_proxy", 0),  # whatever the environment says: all is on this machine
    ]
    async with (
        grpc.aio.insecure_channel(f"{HOST}:{port}", options=options) as channel,
        asyncio.timeout(LOAD_SECONDS),
        asyncio.TaskGroup() as group,
    ):
        for _ in range(AT_ONCE):
            group.create_task(worker(channel))


async def main() -> None:
    settings = StackSettings(simulated=MODEL_SERVERS)
    with tempfile.TemporaryDirectory() as folder:
        async with contextlib.AsyncExitStack() as stack:
            picker = await start_picker(settings, Path(folder), stack, print)
            await load(picker.grpc_port)


if __name__ == "__main__":
    asyncio.run(main())
