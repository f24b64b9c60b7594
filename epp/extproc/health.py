"""The gRPC health service (grpc.health.v1) over any transport.

Liveness says that the process works; readiness that requests should come: the pool is known, the
ext-proc port listens, no drain has begun, and of pickers that elect a leader this is the one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from google.protobuf.message import DecodeError

from epp._pb import health_pb2 as pb
from epp.extproc.transport.interfaces import Metadata, Services, Session, Status, Stream

EXT_PROC_SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
LIVENESS = "liveness"
READINESS = ("", "readiness", EXT_PROC_SERVICE)
# What the probes of the upstream charts and conformance manifests ask for.
CONFORMANCE = "inference-extension"
MAX_WATCHERS = 1000

SERVING = pb.HealthCheckResponse.SERVING
NOT_SERVING = pb.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = pb.HealthCheckResponse.SERVICE_UNKNOWN

ServingStatus = pb.HealthCheckResponse.ServingStatus


class Health:
    """What the process says of itself. Watchers are told of every change.

    With an election only the leader is ready, and other names than those above are unknown; without
    one, `inference-extension` also means readiness.
    """

    def __init__(self, *, elects: bool = False) -> None:
        self._elects = elects
        self._ready = False
        self._pool_known = True  # discovery that may lose its pool says so
        self._leading = not elects
        self._watchers: set[_Watch] = set()

    @property
    def ready(self) -> bool:
        return self._ready and self._pool_known and self._leading

    @property
    def readiness(self) -> tuple[str, ...]:
        """The service names that mean readiness."""
        return READINESS if self._elects else (*READINESS, CONFORMANCE)

    def set_ready(self, ready: bool) -> None:
        """Whether the ports listen and no drain has begun."""
        with self._telling():
            self._ready = ready

    def set_pool_known(self, known: bool) -> None:
        with self._telling():
            self._pool_known = known

    def set_leading(self, leading: bool) -> None:
        with self._telling():
            self._leading = leading

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        before = self.ready
        yield
        if self.ready is not before:
            for watcher in list(self._watchers):
                watcher.tell()

    def status_of(self, service: str) -> ServingStatus:
        if service == LIVENESS:
            return SERVING
        if service in self.readiness:
            return SERVING if self.ready else NOT_SERVING
        return SERVICE_UNKNOWN

    @property
    def refuses_unknown(self) -> bool:
        """Check ends with NOT_FOUND for an unknown name, rather than to say SERVICE_UNKNOWN.

        The first is the standard; the second is what the Go picker answers with an election.
        """
        return not self._elects

    def services(self) -> Services:
        return {
            "/grpc.health.v1.Health/Check": self._opener(_check),
            "/grpc.health.v1.Health/List": self._opener(_list),
            "/grpc.health.v1.Health/Watch": lambda stream, _metadata: _Watch(
                self, stream, self._watchers
            ),
        }

    def _opener(
        self, answer: Callable[[Health, bytes, Stream], None]
    ) -> Callable[[Stream, Metadata], Session]:
        return lambda stream, _metadata: _Unary(self, stream, answer)


class _Unary:
    """One request, one answer."""

    def __init__(
        self, health: Health, stream: Stream, answer: Callable[[Health, bytes, Stream], None]
    ) -> None:
        self._health, self._stream, self._answer = health, stream, answer

    def received(self, message: bytes) -> None:
        self._answer(self._health, message, self._stream)

    def half_closed(self) -> None:
        self._stream.finish(Status.INVALID_ARGUMENT, "a request message was expected")

    def closed(self) -> None:
        """Nothing is held."""


def _parse(message: bytes, stream: Stream) -> str | None:
    try:
        return pb.HealthCheckRequest.FromString(message).service
    except DecodeError as error:
        stream.finish(Status.INVALID_ARGUMENT, f"not a HealthCheckRequest: {error}")
        return None


def _check(health: Health, message: bytes, stream: Stream) -> None:
    service = _parse(message, stream)
    if service is None:
        return
    status = health.status_of(service)
    if status == SERVICE_UNKNOWN and health.refuses_unknown:
        stream.finish(Status.NOT_FOUND, f"unknown service {service!r}")
        return
    stream.send(pb.HealthCheckResponse(status=status).SerializeToString())
    stream.finish()


def _list(health: Health, message: bytes, stream: Stream) -> None:
    reply = pb.HealthListResponse()
    for service in (LIVENESS, *health.readiness):
        reply.statuses[service].status = health.status_of(service)
    stream.send(reply.SerializeToString())
    stream.finish()


class _Watch:
    """Says the status at once and at every change, until the client leaves."""

    def __init__(self, health: Health, stream: Stream, watchers: set[_Watch]) -> None:
        self._health, self._stream, self._watchers = health, stream, watchers
        self._service: str | None = None

    def received(self, message: bytes) -> None:
        if self._service is not None:
            self._stream.finish(Status.INVALID_ARGUMENT, "one request message was expected")
            return
        self._service = _parse(message, self._stream)
        if self._service is None:
            return
        if len(self._watchers) >= MAX_WATCHERS:
            self._stream.finish(Status.FAILED_PRECONDITION, f"over {MAX_WATCHERS} watchers")
            return
        self._watchers.add(self)
        self.tell()

    def tell(self) -> None:
        assert self._service is not None
        status = self._health.status_of(self._service)
        self._stream.send(pb.HealthCheckResponse(status=status).SerializeToString())

    def half_closed(self) -> None:
        if self._service is None:
            self._stream.finish(Status.INVALID_ARGUMENT, "a request message was expected")

    def closed(self) -> None:
        self._watchers.discard(self)
