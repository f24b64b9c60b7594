"""Microseconds of our own code a request, without a socket."""

from __future__ import annotations

import asyncio
import cProfile
import os
import pstats
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
from hpack import Encoder

from epp._pb import ext_proc_pb2 as pb
from epp.compose import compose
from epp.config.build import read_configuration
from epp.configured import Outside, read_arrival
from epp.core.endpoint import EndpointMetrics
from epp.core.stopwatch import Stopwatch
from epp.datalayer.store import EndpointSpec
from epp.extproc.observer import RequestObserver
from epp.extproc.session import ExtProcSession, SessionSettings
from epp.extproc.switchboard import Switchboard
from epp.extproc.tracing import RequestTracer
from epp.extproc.transport.http2 import frames
from epp.extproc.transport.http2.connection import Connection
from epp.extproc.transport.http2.grpc_messages import PREFIX
from epp.extproc.transport.http2.settings import Limits
from epp.extproc.transport.interfaces import Metadata, Stream
from epp.telemetry.logs import LineWriter
from epp.telemetry.metrics import Metrics
from epp.telemetry.request_log import RequestLog
from epp.telemetry.trace_context import ALL_IDS, Sampler
from epp.telemetry.tracing_settings import Exporter, TracingSettings
from epp.timed import TimedReading

METHOD = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
CALL = [  # what a grpc-go client sends
    *((":method", "POST"), (":scheme", "http"), (":path", METHOD), (":authority", "epp:9002")),
    *(("content-type", "application/grpc"), ("user-agent", "grpc-go/1.76.0"), ("te", "trailers")),
    ("x-epp-gateway", "lists"),
]


class Sink:
    def __init__(self) -> None:
        self.messages = 0

    def send(self, message: bytes) -> None:
        self.messages += 1

    def finish(self, status: int = 0, text: str = "") -> None:
        pass


def conversation(characters: int, chunks: int, *, light: bool) -> list[bytes]:
    text = "the answer is in the following paragraph of the document " * (characters // 57 + 1)
    body = orjson.dumps(
        {"model": "m", "stream": True, "messages": [{"role": "user", "content": text[:characters]}]}
    )
    pairs = [(":path", b"/v1/chat/completions"), (":method", b"POST"), ("x-request-id", b"r-1")]
    pairs += [(f"x-header-{n}", b"some value") for n in range(8)]
    headers = pb.HeaderMap(headers=[pb.HeaderValue(key=k, raw_value=v) for k, v in pairs])
    config = pb.ProtocolConfiguration(
        request_body_mode=pb.BUFFERED if light else pb.FULL_DUPLEX_STREAMED,
        response_body_mode=pb.NONE if light else pb.FULL_DUPLEX_STREAMED,
    )
    status = pb.HeaderMap(
        headers=[
            pb.HeaderValue(key=":status", raw_value=b"200"),
            pb.HeaderValue(key="content-type", raw_value=b"text/event-stream"),
        ]
    )
    messages = [
        pb.ProcessingRequest(
            request_headers=pb.HttpHeaders(headers=headers), protocol_config=config
        ),
        pb.ProcessingRequest(request_body=pb.HttpBody(body=body, end_of_stream=True)),
        pb.ProcessingRequest(response_headers=pb.HttpHeaders(headers=status)),
    ]
    if not light:
        event = b'data: {"id":"x","choices":[{"delta":{"content":" word"}}]}\n\n'
        for n in range(max(1, chunks)):
            piece = pb.HttpBody(body=event, end_of_stream=n == max(1, chunks) - 1)
            messages.append(pb.ProcessingRequest(response_body=piece))
    return [message.SerializeToString() for message in messages]


@contextmanager
def a_board(endpoints: int, tracer: RequestTracer | None = None) -> Iterator[Switchboard]:
    """A whole picker without its shells, with a fresh reading of every endpoint."""
    metrics = Metrics(pool_name="pool")
    stopwatch = Stopwatch(
        time.monotonic,
        lambda part: metrics.plugin_timer(part.point, part.plugin_type, part.plugin_name).observe,
    )
    outside = Outside(
        random.Random(1),
        lambda: "id",
        read_payload=TimedReading(read_arrival, stopwatch),
        stopwatch=stopwatch,
    )
    picker = compose(read_configuration(), outside)
    picker.store.apply([EndpointSpec(f"e{n}", f"10.0.0.{n}", 80) for n in range(endpoints)])
    for endpoint in picker.store.endpoints:
        now = time.monotonic()
        reading = EndpointMetrics(waiting_read_at=now, running_read_at=now, running=4)
        picker.read(endpoint, reading, 0)
    writer = LineWriter(os.open(os.devnull, os.O_WRONLY))
    observer = RequestObserver(metrics, RequestLog(writer.put, enabled=True))
    deadline = picker.queue.next_deadline
    yield Switchboard(picker.director, observer, deadline, time.monotonic, tracer=tracer)
    writer.close()


def play(board: Switchboard, messages: list[bytes], times: int) -> float:
    """Microseconds an exchange."""
    settings = SessionSettings(instance="here", nonce="n")
    start = time.perf_counter()
    for _ in range(times):
        session = ExtProcSession(board, settings, Sink(), {})
        for message in messages:
            session.received(message)
        session.half_closed()
        session.closed()
    return (time.perf_counter() - start) / times * 1e6


def play_on_http2(board: Switchboard, messages: list[bytes], times: int) -> float:
    """Microseconds an exchange, frames included: each message comes by itself, as by a gateway."""
    settings = SessionSettings(instance="here", nonce="n")

    def open_session(stream: Stream, metadata: Metadata) -> ExtProcSession:
        return ExtProcSession(board, settings, stream, metadata)

    connection = Connection({METHOD: open_session}, Limits(), lambda: None, time.monotonic())
    encoder = Encoder()
    sections = [encoder.encode(CALL) for _ in range(2)]  # from the second on it is in the table
    opening = frames.PREFACE + frames.settings({}) + frames.window_update(0, 1 << 30)
    connection.receive(opening, time.monotonic())
    connection.take()
    start = time.perf_counter()
    for number in range(times):
        for frame in framed(sections[number > 0], 1 + 2 * number, messages):
            connection.receive(frame, time.monotonic())
            connection.settle()
            connection.take()
    assert not connection.closing
    assert not connection.calls.streams
    return (time.perf_counter() - start) / times * 1e6


def framed(section: bytes, stream_id: int, messages: list[bytes]) -> list[bytes]:
    found = [frames.frame(frames.Kind.HEADERS, frames.END_HEADERS, stream_id, section)]
    for message in messages:
        data = PREFIX.pack(0, len(message)) + message
        found.append(frames.frame(frames.Kind.DATA, 0, stream_id, data))
    found.append(frames.frame(frames.Kind.DATA, frames.END_STREAM, stream_id))
    return found


async def main() -> None:
    numbers = [int(argument) for argument in sys.argv[1:] if argument.isdecimal()]
    with a_board(numbers[0] if numbers else 10) as board:
        for name, messages, times in (
            ("full, 900 characters", conversation(900, 0, light=False), 4000),
            ("light, 900 characters", conversation(900, 0, light=True), 4000),
            ("full, 900 characters, 100 chunks", conversation(900, 100, light=False), 400),
            ("full, 400 000 characters", conversation(400_000, 0, light=False), 100),
        ):
            play(board, messages, times // 4)
            print(f"{name:36} {play(board, messages, times):8.1f} us", end="")
            if len(messages[1]) < frames.DEFAULT_FRAME_BYTES:
                print(f", with HTTP/2 {play_on_http2(board, messages, times):8.1f} us", end="")
            print()
        if "--profile" in sys.argv:
            profile = cProfile.Profile()
            profile.enable()
            play(board, conversation(900, 0, light=False), 4000)
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(60)


async def traced() -> None:
    """What traces add to a short request, exported to nowhere; CPU of all threads."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    from epp.telemetry import span_export

    class Nowhere(SpanExporter):
        def export(self, spans: object) -> SpanExportResult:
            from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

            encode_spans(spans).SerializeToString()
            return SpanExportResult.SUCCESS

    span_export._exporter = lambda _kind: Nowhere()
    messages = conversation(900, 0, light=False)
    for name, ratio in (("off", -1.0), ("no request recorded", 0.0), ("every request", 1.0)):
        settings = TracingSettings(Exporter.CONSOLE, queue_spans=1_000_000)
        export = span_export.SpanExport(settings, Metrics().count_spans())
        tracer = RequestTracer(
            Sampler(True, round(ratio * ALL_IDS)),
            random.Random(1).getrandbits,
            lambda root, part, _now, export=export: export.write(root, part, 0),
        )
        with a_board(10, None if ratio < 0 else tracer) as board:
            play(board, messages, 500)
            start = time.process_time()
            loop = play(board, messages, 2000)
            await export.close()
            cpu = (time.process_time() - start) / 2000 * 1e6
            print(f"traces: {name:28} {loop:8.1f} us, CPU {cpu:8.1f} us")


if __name__ == "__main__":
    asyncio.run(traced() if "--traces" in sys.argv else main())
