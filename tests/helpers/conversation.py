"""Values for exchanges: a test names only what it is about."""

from __future__ import annotations

from epp.core.decision import Endpoints, Placed, record_of
from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.director import Begun
from epp.extproc.events import BodyMode, Decided, RequestHeaders

POD = Endpoint("pod-a", "10.0.0.1", 8000)
OTHER = Endpoint("pod-b", "fd00::2", 8000)
BODY = b'{"model": "public", "messages": [{"role": "user", "content": "hi"}]}'
REWRITTEN = b'{"model": "internal", "messages": [{"role": "user", "content": "hi"}]}'

FULL = BodyMode.FULL_DUPLEX_STREAMED
BUFFERED = BodyMode.BUFFERED
STREAMED = BodyMode.STREAMED
PARTIAL = BodyMode.BUFFERED_PARTIAL
NONE = BodyMode.NONE


def headers(
    request_mode: BodyMode = FULL,
    response_mode: BodyMode | None = None,
    *,
    end_of_stream: bool = False,
    **fields: str,
) -> RequestHeaders:
    """Response bodies are sent where the request mode is full, else not."""
    if response_mode is None:
        response_mode = FULL if request_mode is FULL else NONE
    return RequestHeaders(
        {":path": "/v1/chat/completions", ":method": "POST", **fields},
        end_of_stream,
        request_mode,
        response_mode,
    )


def decided(
    body: bytes = BODY,
    *endpoints: Endpoint,
    model: str = "public",
    target: str = "public",
    generated: str = "",
) -> Decided:
    facts = RequestFacts("r1", model=model, target_model=target)
    record = record_of(facts, 0.0)
    record.picked = endpoints or (POD,)
    placed = Placed(Endpoints(record.picked), record)
    return Decided(Begun(facts, body, placed, generated), placed)
