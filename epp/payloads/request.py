"""Read a request body by its path, and change the one thing that a rule may change: the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from epp.core.refusal import Reason, Refused
from epp.payloads.anthropic import read_messages
from epp.payloads.document import dump_name, load_object
from epp.payloads.openai import read_chat, read_completions, read_embeddings
from epp.payloads.passthrough import read_passthrough, read_unreadable
from epp.payloads.payload import Payload
from epp.payloads.responses import read_conversations, read_responses
from epp.payloads.toplevel import TooIntricate, values_of
from epp.payloads.vllm import read_generate

Reader = Callable[[dict[str, Any]], Payload]

# Last segments of the path: the most frequent first, and a longer one before what it ends with.
READERS: Final[tuple[tuple[str, Reader], ...]] = (
    ("/chat/completions", read_chat),
    ("/completions", read_completions),
    ("/responses", read_responses),
    ("/messages", read_messages),
    ("/embeddings", read_embeddings),
    ("/inference/v1/generate", read_generate),
    ("/conversations", read_conversations),
)


def read_request(
    path: str, headers: Mapping[str, str], body: bytes, *, complete: bool = True
) -> Payload:
    """Raises Refused for a body that no engine would take. `path` is without a query.

    A body that the gateway cut or that is compressed is never refused: it is not ours to judge.
    """
    encoding = headers.get("content-encoding", "")
    if encoding and encoding.strip().lower() != "identity":
        return read_unreadable(body)
    if complete:
        bare = path.rstrip("/").removesuffix("/render")
        for suffix, read in READERS:
            if bare.endswith(suffix):
                return read(load_object(body))
    return read_passthrough(body, complete=complete)


def with_model(body: bytes, model: str) -> bytes:
    """Every top-level `model` gets the new name; all other bytes stay as they came.

    Raises NotAnObject for a body that is no JSON object, and Refused for one that hides its model.
    """
    name = dump_name(model)
    pieces: list[bytes] = []
    kept = 0
    try:
        values = values_of(body, "model")
    except TooIntricate as error:
        detail = f"the model cannot be replaced: too much to look at before byte {error.position}"
        raise Refused(Reason.BAD_REQUEST, detail) from None
    for start, stop in values:
        pieces += (body[kept:start], name)
        kept = stop
    pieces.append(body[kept:])
    return b"".join(pieces)
