"""A session on a composed picker, with a stream that only remembers."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from epp._pb import ext_proc_pb2 as pb
from epp.compose import Picker, compose
from epp.config.build import read_configuration
from epp.configured import Outside
from epp.datalayer.store import EndpointSpec
from epp.director import Begun, Ending
from epp.extproc.events import Event
from epp.extproc.session import ExtProcSession, SessionSettings
from epp.extproc.switchboard import Switchboard
from epp.extproc.transport.interfaces import Status

DOCUMENT = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: queue-scorer}
- {type: concurrency-detector, parameters: {maxConcurrency: 1}}
flowControl:
  saturationDetector: {pluginRef: concurrency-detector}
  defaultRequestTTL: 100ms
"""


class RememberingStream:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.status: tuple[Status, str] | None = None
        self.ended = asyncio.Event()

    def send(self, message: bytes) -> None:
        assert self.status is None, "sent after the end"
        self.sent.append(message)

    def finish(self, status: Status = Status.OK, text: str = "") -> None:
        if self.status is None:
            self.status = (status, text)
            self.ended.set()

    @property
    def replies(self) -> list[pb.ProcessingResponse]:
        return [pb.ProcessingResponse.FromString(message) for message in self.sent]

    @property
    def kinds(self) -> list[str | None]:
        return [reply.WhichOneof("response") for reply in self.replies]


@dataclass
class Noted:
    """An observer that counts."""

    began_count: int = 0
    messages: int = 0
    outcomes: list[object] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)

    def began(self, begun: Begun, seconds: float) -> None:
        self.began_count += 1

    def spent(self, stage: type[Event], seconds: float) -> None:
        self.messages += 1

    def settled(self, begun: Begun, outcome: object, now: float) -> None:
        self.outcomes.append(outcome)

    def finished(self, begun: Begun, ending: Ending, now: float) -> None:
        self.endings.append(ending)


@dataclass
class Desk:
    """One endpoint of one place, and as many streams as a test opens."""

    now: float = 0.0
    picker: Picker = field(init=False)
    board: Switchboard = field(init=False)
    noted: Noted = field(default_factory=Noted)

    def __post_init__(self) -> None:
        self.picker = compose(
            read_configuration(DOCUMENT), Outside(random.Random(1), lambda: "made-up")
        )
        self.picker.store.apply([EndpointSpec("a", "10.0.0.1", 80)])
        self.board = Switchboard(
            self.picker.director, self.noted, self.picker.queue.next_deadline, self.clock
        )

    def clock(self) -> float:
        return self.now

    def open(
        self, settings: SessionSettings | None = None
    ) -> tuple[ExtProcSession, RememberingStream]:
        stream = RememberingStream()
        return ExtProcSession(self.board, settings or SessionSettings(), stream, {}), stream


BODY = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'


def full_request(body: bytes = BODY) -> list[bytes]:
    headers = pb.HeaderMap(
        headers=[
            pb.HeaderValue(key=":path", raw_value=b"/v1/chat/completions"),
            pb.HeaderValue(key=":method", raw_value=b"POST"),
        ]
    )
    messages = [
        pb.ProcessingRequest(request_headers=pb.HttpHeaders(headers=headers)),
        pb.ProcessingRequest(request_body=pb.HttpBody(body=body, end_of_stream=True)),
    ]
    return [message.SerializeToString() for message in messages]


def light_request(body: bytes = BODY) -> list[bytes]:
    first, second = (pb.ProcessingRequest.FromString(m) for m in full_request(body))
    first.protocol_config.request_body_mode = pb.BUFFERED
    first.protocol_config.response_body_mode = pb.NONE
    return [first.SerializeToString(), second.SerializeToString()]


def response() -> list[bytes]:
    status = pb.HeaderMap(headers=[pb.HeaderValue(key=":status", raw_value=b"200")])
    messages = [
        pb.ProcessingRequest(response_headers=pb.HttpHeaders(headers=status)),
        pb.ProcessingRequest(response_body=pb.HttpBody(body=b"x", end_of_stream=True)),
    ]
    return [message.SerializeToString() for message in messages]
