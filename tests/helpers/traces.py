"""An OTLP receiver on loopback, with the official messages: what a collector would be sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service
from opentelemetry.proto.trace.v1.trace_pb2 import Span

WAIT_SECONDS = 20.0


@dataclass(frozen=True)
class Received:
    span: Span
    scope: str
    resource: dict[str, Any]

    @property
    def attributes(self) -> dict[str, Any]:
        return plain(self.span.attributes)

    @property
    def trace_id(self) -> str:
        return self.span.trace_id.hex()


class Collector(service.TraceServiceServicer):
    """What came, in order. Spans of one trace may come in several messages."""

    def __init__(self) -> None:
        self.port = 0
        self._received: list[Received] = []
        self._some = threading.Condition()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - its name in the protocol
        fresh = [
            Received(span, scope.scope.name, plain(resource.resource.attributes))
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        with self._some:
            self._received += fresh
            self._some.notify_all()
        return otlp.ExportTraceServiceResponse()

    @property
    def spans(self) -> list[Received]:
        with self._some:
            return list(self._received)

    def trace(self, trace_id: str = "") -> dict[str, Received]:
        """Spans by name, of a trace whose first span has come; of any trace by default.

        The first span is exported last. Raises TimeoutError.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            spans = self.spans
            for one in spans:
                if one.span.name == "gateway.request" and trace_id in ("", one.trace_id):
                    return {s.span.name: s for s in spans if s.trace_id == one.trace_id}
            with self._some:
                if not self._some.wait(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError(f"no trace {trace_id} came, only {len(spans)} spans")


def plain(attributes: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)


@contextmanager
def a_grpc_collector() -> Iterator[Collector]:
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    service.add_TraceServiceServicer_to_server(collector, server)
    collector.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()


@contextmanager
def an_http_collector() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert (self.path, self.headers["content-type"]) == (
                "/v1/traces",
                "application/x-protobuf",
            )
            answer = collector.Export(otlp.ExportTraceServiceRequest.FromString(body), None)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(answer.SerializeToString())

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
