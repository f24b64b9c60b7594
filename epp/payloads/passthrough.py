"""Every other path: sent on as it is. A JSON body still says which model, so that routing works."""

from __future__ import annotations

import orjson

from epp.payloads.payload import Payload, estimate_tokens, model_of

API = "passthrough"


def read_passthrough(body: bytes) -> Payload:
    """Never refuses."""
    payload = Payload(API, prompt_tokens=estimate_tokens(body))
    if body[:1] != b"{":
        return payload
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return payload
    payload.model = model_of(document)
    payload.can_rewrite = bool(payload.model)
    payload.streaming = document.get("stream") is True
    return payload
