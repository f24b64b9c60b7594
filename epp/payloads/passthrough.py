"""Every other path: sent on as it is. A JSON body still says which model, so that routing works."""

from __future__ import annotations

from typing import Final

from epp.payloads.document import load_scalars
from epp.payloads.payload import Payload, estimate_tokens, model_of, streams

API: Final = "passthrough"


def read_passthrough(body: bytes, *, complete: bool = True) -> Payload:
    """Never refuses. The whole body counts as prompt tokens, but none of it as prompt text.

    Of a body that the gateway cut, what stands before the cut is read; it cannot be rewritten.
    """
    document, is_object = load_scalars(body)
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
