"""Every other path: sent on as it is. A JSON body still says which model, so that routing works."""

from __future__ import annotations

from typing import Final

from epp.payloads.document import load_scalars, load_strictly
from epp.payloads.payload import Payload, estimate_tokens, model_of, streams

API: Final = "passthrough"


def read_passthrough(body: bytes, *, complete: bool = True) -> Payload:
    """The whole body counts as prompt tokens, but none of it as prompt text.

    Refused is only an object that has too much in it to find the model. Of a body that the gateway
    cut, what stands before the cut is read; it cannot be rewritten.
    """
    document = load_strictly(body) if complete else None
    is_object = document is not None
    if document is None:
        document, is_object = load_scalars(body, complete=complete)
    model = model_of(document)
    return Payload(
        api=API,
        model=model,
        streaming=streams(document),
        prompt_tokens=estimate_tokens(len(body)),
        can_rewrite=complete and is_object and bool(model),
    )


def read_unreadable(body: bytes) -> Payload:
    """A compressed body: only its size is known."""
    return Payload(API, prompt_tokens=estimate_tokens(len(body)))
